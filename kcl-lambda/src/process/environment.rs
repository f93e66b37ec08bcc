//! What a process finds in its environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::Path,
};

use super::config::ProcessConfig;

/// What must not come from our own environment: it would tell the process of another function, or make its client behave
/// as under another runtime.
const NEVER_INHERITED: [&str; 5] = [
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "LAMBDA_TASK_ROOT",
];
const NEVER_INHERITED_PREFIX: &str = "AWS_LAMBDA_";
/// What a process finds at least, if it finds nothing of ours.
const BARE_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/bin";

/// The variables of one process: ours, then Lambda's, then the user's, each stronger than what comes before.
pub(super) fn variables(
    config: &ProcessConfig,
    ours: impl IntoIterator<Item = (OsString, OsString)>,
    api: SocketAddr,
    directory: &Path,
    log_stream: &str,
) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> = ours
        .into_iter()
        .filter(|(name, _)| config.inherit_environment && is_inherited(name))
        .collect();
    let region = config.region.clone().map(OsString::from);
    let region = region.or_else(|| variables.get(OsStr::new("AWS_REGION")).cloned());
    let region = region.or_else(|| variables.get(OsStr::new("AWS_DEFAULT_REGION")).cloned());
    if let Some(region) = region {
        variables.insert("AWS_REGION".into(), region.clone());
        variables.insert("AWS_DEFAULT_REGION".into(), region);
    }
    for (name, value) in [("PATH", BARE_PATH), ("LANG", "en_US.UTF-8")] {
        variables.entry(name.into()).or_insert_with(|| value.into());
    }
    let memory = config.memory_size_mib.to_string();
    let group = format!("/aws/lambda/{}", config.function_name);
    let lambdas: [(&str, &OsStr); 11] = [
        ("_HANDLER", config.handler.as_ref()),
        ("AWS_LAMBDA_FUNCTION_NAME", config.function_name.as_ref()),
        ("AWS_LAMBDA_FUNCTION_VERSION", config.function_version.as_ref()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.as_ref()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".as_ref()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", group.as_ref()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream.as_ref()),
        ("LAMBDA_TASK_ROOT", directory.as_os_str()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".as_ref()),
        ("TZ", ":UTC".as_ref()),
        ("PWD", directory.as_os_str()),
    ];
    variables.extend(lambdas.map(|(name, value)| (name.into(), value.to_owned())));
    variables.extend(config.environment.clone());
    variables.insert("AWS_LAMBDA_RUNTIME_API".into(), api.to_string().into());
    variables
}

fn is_inherited(name: &OsStr) -> bool {
    let lambdas = name.as_encoded_bytes().starts_with(NEVER_INHERITED_PREFIX.as_bytes());
    !lambdas && !NEVER_INHERITED.iter().any(|never| name == *never)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn found(config: &ProcessConfig, ours: &[(&str, &str)]) -> BTreeMap<String, String> {
        let ours = ours.iter().map(|(name, value)| (name.into(), value.into()));
        let api = SocketAddr::from((Ipv4Addr::LOCALHOST, 4567));
        let variables = variables(config, ours, api, Path::new("/task"), "stream");
        let text = |text: OsString| text.into_string().unwrap();
        variables
            .into_iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn a_process_finds_what_a_bootstrap_expects() {
        let config = ProcessConfig::new("python3", ["-m", "awslambdaric", "app.handler"]).function_name("probe");
        let found = found(&config, &[]);
        let expected = [
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:4567"),
            ("_HANDLER", "app.handler"),
            ("AWS_LAMBDA_FUNCTION_NAME", "probe"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/probe"),
            ("LAMBDA_TASK_ROOT", "/task"),
            ("TZ", ":UTC"),
        ];
        for (name, value) in expected {
            assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!found.contains_key("AWS_REGION"), "nobody said which");
    }

    #[test]
    fn what_is_said_of_another_function_is_not_passed_on() {
        let ours = [
            ("AWS_LAMBDA_MAX_CONCURRENCY", "8"),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_python3.12"),
            ("_X_AMZN_TRACE_ID", "Root=1"),
            ("AWS_LAMBDA_RUNTIME_API", "10.0.0.1:80"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
        ];
        let mut config = ProcessConfig::new("bootstrap", [""; 0]);
        let inherited = found(&config, &ours);
        for name in ["AWS_LAMBDA_MAX_CONCURRENCY", "AWS_EXECUTION_ENV", "_X_AMZN_TRACE_ID"] {
            assert!(!inherited.contains_key(name), "{name}");
        }
        assert_eq!(inherited["AWS_LAMBDA_RUNTIME_API"], "127.0.0.1:4567");
        assert_eq!(inherited["AWS_REGION"], "eu-west-1");
        assert_eq!(inherited["AWS_ACCESS_KEY_ID"], "any");

        config.inherit_environment = false;
        let bare = found(&config, &ours);
        assert!(!bare.contains_key("AWS_ACCESS_KEY_ID"));
        assert_eq!(bare["PATH"], BARE_PATH);
    }

    #[test]
    fn the_users_own_variables_win() {
        let config = ProcessConfig::new("bootstrap", [""; 0])
            .variable("AWS_LAMBDA_MAX_CONCURRENCY", "2")
            .variable("TZ", "Europe/Berlin")
            .variable("AWS_LAMBDA_RUNTIME_API", "10.0.0.1:80");
        let found = found(&config, &[("TZ", "Asia/Tokyo")]);
        assert_eq!(found["AWS_LAMBDA_MAX_CONCURRENCY"], "2");
        assert_eq!(found["TZ"], "Europe/Berlin");
        assert_eq!(
            found["AWS_LAMBDA_RUNTIME_API"], "127.0.0.1:4567",
            "it would speak to somebody else"
        );
    }
}
