//! How a function's processes are run.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use super::{
    output::Output,
    restarts::{RESTART_PAUSE_FIRST, RESTART_PAUSE_MAX},
};
use crate::runtime_api::RESPONSE_BYTES_MAX;

/// How the processes of a function are run: which program, what it finds, how long it may take.
///
/// ```
/// use kcl_lambda::process::ProcessConfig;
///
/// let config = ProcessConfig::new("python3", ["-m", "awslambdaric", "app.handler"])
///     .concurrency(4)
///     .variable("TABLE", "orders");
/// assert_eq!(config.handler, "app.handler");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// The program, looked up in `PATH` as a shell does.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The directory that it starts in, and that it is told is `LAMBDA_TASK_ROOT`; by default the current one.
    pub directory: Option<PathBuf>,
    /// Variables of the user's own. They win over everything but `AWS_LAMBDA_RUNTIME_API`.
    ///
    /// With `AWS_LAMBDA_MAX_CONCURRENCY` some clients start several processes or tasks, which share the invocations of
    /// one: it is set if it is in here, and never otherwise.
    pub environment: BTreeMap<OsString, OsString>,
    /// Whether the process finds the variables that we have ourselves, besides. By default it does, since that is where
    /// credentials and the paths of languages are; on Lambda itself there is nothing of that kind.
    pub inherit_environment: bool,
    /// The function's name. By default `function`.
    pub function_name: String,
    /// Its version. By default `$LATEST`.
    pub function_version: String,
    /// The handler (`_HANDLER`), for clients that read it from there. By default the last argument.
    pub handler: String,
    /// The region; by default what `AWS_REGION` or `AWS_DEFAULT_REGION` says already.
    pub region: Option<String>,
    /// What the function is told that it has of memory, in MiB. By default 128, as on Lambda.
    pub memory_size_mib: u32,
    /// Whether that is a limit that the system keeps (Linux only): what a process allocates beyond it fails, as a rule
    /// with an exception of its language, or with its end. What counts is what it may write to, which is more than what
    /// is resident: stacks of threads count in full. By default there is no limit.
    pub limit_memory: bool,
    /// The most processes at a time: one per invocation that runs. By default 1.
    pub concurrency: usize,
    /// How long a process may take until it asks for its first invocation; by default the 10 seconds of Lambda. If the
    /// first is too slow, a second one gets as long as the invocation itself, if that is longer.
    pub init_timeout: Duration,
    /// How long a process may take to end when it is asked to; then it is killed. By default the 2 seconds of Lambda.
    pub stop_grace: Duration,
    /// After so long without an invocation a process is stopped; `None`: never. By default 15 minutes.
    pub idle_timeout: Option<Duration>,
    /// The first pause after a start that failed; every further failure doubles it. By default half a second.
    pub restart_pause_first: Duration,
    /// The longest pause. By default a minute.
    pub restart_pause_max: Duration,
    /// The most bytes of an answer. By default Lambda's 6 MiB and a hundred bytes.
    pub response_bytes_max: usize,
    /// What becomes of what processes print. By default they print where we do.
    pub output: Output,
}

impl ProcessConfig {
    /// Runs this program with these arguments, and with the defaults for everything else.
    #[must_use]
    pub fn new<A: Into<OsString>>(program: impl Into<OsString>, arguments: impl IntoIterator<Item = A>) -> Self {
        let program = program.into();
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let handler = arguments.last().unwrap_or(&program).to_string_lossy().into_owned();
        Self {
            program,
            arguments,
            directory: None,
            environment: BTreeMap::new(),
            inherit_environment: true,
            function_name: "function".to_owned(),
            function_version: "$LATEST".to_owned(),
            handler,
            region: None,
            memory_size_mib: 128,
            limit_memory: false,
            concurrency: 1,
            init_timeout: Duration::from_secs(10),
            stop_grace: Duration::from_secs(2),
            idle_timeout: Some(Duration::from_mins(15)),
            restart_pause_first: RESTART_PAUSE_FIRST,
            restart_pause_max: RESTART_PAUSE_MAX,
            response_bytes_max: RESPONSE_BYTES_MAX,
            output: Output::Inherit,
        }
    }

    /// The same with so many processes at most.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// The same with a variable of the user's own.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// The same under another name.
    #[must_use]
    pub fn function_name(mut self, name: impl Into<String>) -> Self {
        self.function_name = name.into();
        self
    }

    /// The same with what is printed going elsewhere.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    pub(super) fn validate(&self) -> Result<(), InvalidProcessConfig> {
        if self.program.is_empty() {
            return Err(InvalidProcessConfig::NoProgram);
        }
        if self.concurrency == 0 || self.concurrency > CONCURRENCY_MAX {
            return Err(InvalidProcessConfig::Concurrency(self.concurrency));
        }
        if self.memory_size_mib == 0 {
            return Err(InvalidProcessConfig::NoMemory);
        }
        if self.limit_memory && !cfg!(target_os = "linux") {
            return Err(InvalidProcessConfig::NoMemoryLimits);
        }
        match &self.directory {
            Some(directory) if !directory.is_dir() => Err(InvalidProcessConfig::NoDirectory(directory.clone())),
            _ => Ok(()),
        }
    }
}

/// The processes of a function cannot be run as it is said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProcessConfig {
    /// There is no program.
    #[error("the program is empty: name the function's runtime, as in `python3 -m awslambdaric app.handler`")]
    NoProgram,
    /// So many processes at a time are none, or too many.
    #[error("concurrency is {0}: it is from 1 to {CONCURRENCY_MAX} processes")]
    Concurrency(usize),
    /// A function of no memory.
    #[error("the memory size is 0 MiB: functions read it, and it is at least 1")]
    NoMemory,
    /// This system has no way to limit another process's memory.
    #[error("memory cannot be limited on this system: leave `limit_memory` off")]
    NoMemoryLimits,
    /// The directory is not there.
    #[error("{0:?} is no directory: the function's processes are to start there")]
    NoDirectory(PathBuf),
}

const CONCURRENCY_MAX: usize = 10_000;
