//! What becomes of what processes print.

use std::{fmt, io, os::fd::AsFd, process::Stdio, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::Child,
};
use tokio_util::task::AbortOnDropHandle;

/// The most bytes of a line; what is longer comes in several.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Where a function's processes print.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Output {
    /// Where we print ourselves.
    #[default]
    Inherit,
    /// All to our standard error, so that standard output stays ours.
    Stderr,
    /// Nowhere.
    Discard,
    /// As events of the target `function`, at level debug: functions print data.
    Tracing,
    /// To a sink of the user's own, line by line.
    Lines(Arc<dyn OutputSink>),
}

/// Takes what processes print.
pub trait OutputSink: fmt::Debug + Send + Sync {
    /// A line without its end, as text: what is not UTF-8 is replaced. What is longer than 64 KiB comes in parts. It should
    /// not take long: the process waits meanwhile once it has printed enough.
    fn line(&self, process: u64, stream: OutputStream, line: &str);
}

/// Which of its streams a process printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl OutputStream {
    /// `stdout` or `stderr`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What the function's lines are logged under.
const TARGET: &str = "function";

#[derive(Debug)]
struct Events;

impl OutputSink for Events {
    fn line(&self, process: u64, stream: OutputStream, line: &str) {
        tracing::debug!(target: TARGET, process, stream = stream.as_str(), "{line}");
    }
}

impl Output {
    /// What a process is given for standard output and error.
    pub(super) fn streams(&self) -> io::Result<(Stdio, Stdio)> {
        Ok(match self {
            Self::Inherit => (Stdio::inherit(), Stdio::inherit()),
            Self::Stderr => (io::stderr().as_fd().try_clone_to_owned()?.into(), Stdio::inherit()),
            Self::Discard => (Stdio::null(), Stdio::null()),
            Self::Tracing | Self::Lines(_) => (Stdio::piped(), Stdio::piped()),
        })
    }

    /// Forwards what the process prints, until it ends or the handles are dropped.
    pub(super) fn forward(&self, process: u64, child: &mut Child) -> Vec<AbortOnDropHandle<()>> {
        let sink: Arc<dyn OutputSink> = match self {
            Self::Inherit | Self::Stderr | Self::Discard => return Vec::new(),
            Self::Tracing => Arc::new(Events),
            Self::Lines(sink) => Arc::clone(sink),
        };
        let stdout = child.stdout.take().map(|pipe| {
            let lines = forward(pipe, Arc::clone(&sink), process, OutputStream::Stdout);
            AbortOnDropHandle::new(tokio::spawn(lines))
        });
        let stderr = child.stderr.take().map(|pipe| {
            let lines = forward(pipe, sink, process, OutputStream::Stderr);
            AbortOnDropHandle::new(tokio::spawn(lines))
        });
        stdout.into_iter().chain(stderr).collect()
    }
}

async fn forward<P: AsyncRead + Unpin>(pipe: P, sink: Arc<dyn OutputSink>, process: u64, stream: OutputStream) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut pipe).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(_) => {
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                sink.line(process, stream, &String::from_utf8_lossy(text));
            }
            Err(error) => {
                tracing::warn!(process, %error, "what a function prints cannot be read any more");
                return;
            }
        }
    }
}
