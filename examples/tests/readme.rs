//! What the README shows is what is compiled here.

const README: &str = include_str!("../../README.md");

#[test]
fn given_the_readme_when_its_first_program_is_compared_then_it_is_the_one_that_is_compiled() {
    let program = include_str!("../src/bin/readme.rs");
    assert!(
        README.contains(program),
        "README.md and examples/src/bin/readme.rs differ"
    );
}

#[test]
fn given_the_readme_when_its_lines_on_dynamodb_are_compared_then_they_are_in_the_program_that_is_compiled() {
    let program = include_str!("../src/bin/readme_dynamodb.rs");
    let (_, section) = README
        .split_once("With leases in DynamoDB")
        .expect("the README has the section");
    let (_, section) = section.split_once("```rust\n").expect("it shows a program's lines");
    let (lines, _) = section.split_once("```").expect("which end");
    assert!(!lines.is_empty());
    for line in lines.lines() {
        assert!(
            program.contains(line),
            "not in examples/src/bin/readme_dynamodb.rs: {line}"
        );
    }
}
