//! What a value must be.

use super::{
    super::{
        Evidence::{Community, Documented, OurChoice},
        Row, SAME,
    },
    row,
};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            "text",
            "equal text",
            Documented,
            SAME,
            (
                r#"{"a":["x"]}"#,
                &[r#"{"a":"x"}"#, r#"{"a":"\u0078"}"#],
                &[r#"{"a":"X"}"#, r#"{"a":null}"#, "{}"],
            ),
        ),
        row(
            "empty text",
            "empty text",
            Documented,
            SAME,
            (r#"{"a":[""]}"#, &[r#"{"a":""}"#], &[r#"{"a":null}"#, r#"{"a":" "}"#]),
        ),
        row(
            "null",
            "null, not a missing field",
            Documented,
            SAME,
            (r#"{"a":[null]}"#, &[r#"{"a":null}"#], &["{}", r#"{"a":"null"}"#]),
        ),
        row(
            "booleans",
            "the boolean, not its text",
            Documented,
            SAME,
            (
                r#"{"a":[true]}"#,
                &[r#"{"a":true}"#],
                &[r#"{"a":"true"}"#, r#"{"a":false}"#],
            ),
        ),
        row(
            "numbers",
            "compared as text: 300 is neither 300.0 nor 3e2. (EventBridge's newer library also compares values.)",
            Documented,
            SAME,
            (
                r#"{"a":[300]}"#,
                &[r#"{"a":300}"#],
                &[r#"{"a":300.0}"#, r#"{"a":3e2}"#, r#"{"a":"300"}"#],
            ),
        ),
        row(
            "`numeric` `=`",
            "by value",
            Documented,
            "the same, exactly, however many digits",
            (
                r#"{"a":[{"numeric":["=",9007199254740993]}]}"#,
                &[r#"{"a":9007199254740993}"#, r#"{"a":9007199254740993.0}"#],
                &[r#"{"a":9007199254740992}"#, r#"{"a":"9007199254740993"}"#],
            ),
        ),
        row(
            "`numeric` `<` and `>`",
            "without the bound",
            Documented,
            SAME,
            (
                r#"{"a":[{"numeric":["<",5]}],"b":[{"numeric":[">",-5]}]}"#,
                &[r#"{"a":4.99,"b":-4.99}"#],
                &[r#"{"a":5,"b":0}"#, r#"{"a":0,"b":-5}"#],
            ),
        ),
        row(
            "`numeric` range",
            "both bounds, of numbers within five thousand millions",
            Documented,
            "the same, for numbers of any size",
            (
                r#"{"a":[{"numeric":[">",10,"<=",20]}]}"#,
                &[r#"{"a":10.5}"#, r#"{"a":20}"#, r#"{"a":2e1}"#],
                &[r#"{"a":10}"#, r#"{"a":21}"#, r#"{"a":null}"#],
            ),
        ),
        row(
            "`exists` true",
            "the field has a value, be it null",
            Documented,
            SAME,
            (
                r#"{"a":[{"exists":true}]}"#,
                &[r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":""}"#],
                &["{}"],
            ),
        ),
        row(
            "`exists` false",
            "the field is missing",
            Documented,
            SAME,
            (r#"{"a":[{"exists":false}]}"#, &["{}", r#"{"b":1}"#], &[r#"{"a":null}"#]),
        ),
        row(
            "`exists` on an object",
            "only leaves exist",
            Documented,
            SAME,
            (
                r#"{"a":[{"exists":false}]}"#,
                &[r#"{"a":{"b":1}}"#],
                &[r#"{"a":[{"b":1},2]}"#],
            ),
        ),
        row(
            "`exists` below what is missing",
            "the field is missing",
            Documented,
            SAME,
            (
                r#"{"a":{"b":[{"exists":false}]}}"#,
                &["{}", r#"{"a":7}"#, r#"{"a":{"c":1}}"#],
                &[r#"{"a":{"b":1}}"#],
            ),
        ),
        row(
            "`exists` on an empty list",
            "not known",
            OurChoice,
            "a list of nothing is no value",
            (r#"{"a":[{"exists":false}]}"#, &[r#"{"a":[]}"#], &[r#"{"a":[1]}"#]),
        ),
        row(
            "`prefix`",
            "text that begins so",
            Documented,
            SAME,
            (
                r#"{"a":[{"prefix":"ab"}]}"#,
                &[r#"{"a":"ab"}"#, r#"{"a":"abc"}"#],
                &[r#"{"a":"Abc"}"#, r#"{"a":12}"#, "{}"],
            ),
        ),
        row(
            "`suffix`",
            "text that ends so",
            Community,
            SAME,
            (
                r#"{"a":[{"suffix":".png"}]}"#,
                &[r#"{"a":"x.png"}"#],
                &[r#"{"a":"x.PNG"}"#, r#"{"a":"png"}"#],
            ),
        ),
        row(
            "`equals-ignore-case`",
            "equal but for case",
            Community,
            SAME,
            (
                r#"{"a":[{"equals-ignore-case":"Straße"}]}"#,
                &[r#"{"a":"STRAßE"}"#, r#"{"a":"straße"}"#],
                &[r#"{"a":"strase"}"#, r#"{"a":1}"#],
            ),
        ),
        row(
            "`anything-but`",
            "a value that is none of these; a missing field does not match",
            Documented,
            SAME,
            (
                r#"{"a":[{"anything-but":["x",1]}]}"#,
                &[r#"{"a":"y"}"#, r#"{"a":2}"#, r#"{"a":"1"}"#, r#"{"a":null}"#],
                &[r#"{"a":"x"}"#, r#"{"a":1}"#, "{}"],
            ),
        ),
        row(
            "`anything-but` one value",
            "the same as a list of one",
            Community,
            SAME,
            (r#"{"a":[{"anything-but":"x"}]}"#, &[r#"{"a":"y"}"#], &[r#"{"a":"x"}"#]),
        ),
        row(
            "`anything-but` numbers",
            "not known",
            OurChoice,
            "compared as text, as literals are",
            (
                r#"{"a":[{"anything-but":[300]}]}"#,
                &[r#"{"a":300.0}"#],
                &[r#"{"a":300}"#],
            ),
        ),
    ]
}
