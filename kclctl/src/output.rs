//! What commands write to stdout: lines, tables, JSON.

use std::io::{self, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::Error;

/// Writes one line and flushes: whoever waits for it must see it.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    written(writeln!(io::stdout().lock(), "{text}"))
}

/// Writes a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Output(error.into()))?;
    line(&text)
}

/// Writes a value as JSON on one line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(value).map_err(|error| Error::Output(error.into()))?;
    line(&text)
}

/// Writes a table; its columns are separated by spaces, so that `awk` reads them too.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<(), Error> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for row in rows {
        // An empty cell would shift the columns behind it for whoever splits at spaces.
        table.add_row(row.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    line(&lines.join("\n"))
}

/// Whether somebody still reads stdout. A pipe tells that its other end is closed without being written to.
#[cfg(unix)]
pub(crate) fn is_read() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    !poll(&mut watched, Some(&at_once)).is_ok_and(|_| watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Whether somebody still reads stdout, which nothing tells here before it is written to.
#[cfg(not(unix))]
pub(crate) fn is_read() -> bool {
    true
}

fn written(result: io::Result<()>) -> Result<(), Error> {
    match result.and_then(|()| io::stdout().lock().flush()) {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::Output),
    }
}
