//! What operators do with a lease table: look, give back, move, remove, find out what is wrong.

mod change;
mod delete;
mod doctor;
mod error;
mod list;
mod pause;
mod release;
mod seek;
mod table;
mod table_args;
mod watch;
mod which;

pub(crate) use self::{
    change::ChangeArgs,
    delete::delete,
    doctor::{DoctorArgs, doctor},
    error::LeasesError,
    list::list,
    pause::{PauseArgs, pause},
    release::{ReleaseArgs, release},
    seek::{SeekArgs, seek},
    table_args::TableArgs,
    watch::{WatchArgs, watch},
};
