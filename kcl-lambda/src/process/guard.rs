//! A guard over a group of processes, for the case that we are killed and can do nothing any more.

use std::{io, process::Stdio};

use rustix::process::Pid;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
};

/// Reads one line. If there is none, since whoever holds the other end of the pipe is gone, it kills the group.
const SCRIPT: &str = "read -r dismissed || kill -s KILL -- \"-$1\"";

/// A shell that waits for us to be gone, and then kills a group.
///
/// A parent's death can only be told to a child by itself (`PR_SET_PDEATHSIG`), from code that runs between fork and exec
/// and cannot be safe; and it is tied to the thread that started it. A pipe that closes when we die needs neither.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Child,
    line: ChildStdin,
}

impl Guard {
    pub(super) fn of(group: Pid) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "guard"])
            .arg(group.as_raw_nonzero().get().to_string())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Whatever is sent to our own group, such as an interrupt from the terminal, is not for the guard.
            .process_group(0)
            .spawn()?;
        let line = shell
            .stdin
            .take()
            .ok_or_else(|| io::Error::other("the guard has no input"))?;
        Ok(Self { shell, line })
    }

    /// There is nothing left to guard.
    pub(super) async fn dismiss(mut self) {
        // A guard that cannot be told is gone, and then there is nothing to tell.
        if self.line.write_all(b"dismissed\n").await.is_ok() {
            drop(self.line);
            let _ = self.shell.wait().await;
        }
    }
}
