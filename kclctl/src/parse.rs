//! Values on the command line.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use kcl_core::shard::Lanes;

/// Reads a number of bytes: digits, and `KiB`, `MiB` or `GiB` if wished.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let problem = || format!("{text:?} is not a number of bytes such as 1048576 or 64MiB");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err(problem()),
    };
    let number: u64 = digits.parse().map_err(|_| problem())?;
    number.checked_mul(1 << shift).ok_or_else(problem)
}

/// Reads a time of whole hours, as the service keeps records for.
pub(crate) fn hours(text: &str) -> Result<Duration, String> {
    let problem = || format!("{text:?} is not a time of whole hours such as 48h or 7days");
    let time = humantime::parse_duration(text).map_err(|_| problem())?;
    let is_whole = time.subsec_nanos() == 0 && time.as_secs().is_multiple_of(3600);
    is_whole.then_some(time).ok_or_else(problem)
}

/// Reads an address to listen at: an IP address or a name such as `localhost`, and a port.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let problem = || format!("{text:?} is not an address such as 127.0.0.1:4567");
    let mut found = text.to_socket_addrs().map_err(|_| problem())?;
    found.next().ok_or_else(problem)
}

/// Reads how many batches of a shard are written at once: `one`, `hashed:N` or `per-key:N`.
pub(crate) fn lanes(text: &str) -> Result<Lanes, String> {
    let problem = || format!("{text:?} is none of `one`, `hashed:N` and `per-key:N`, such as hashed:10");
    let (name, calls) = text
        .split_once(':')
        .map_or((text, None), |(name, calls)| (name, Some(calls)));
    let calls = calls.map(str::parse::<usize>).transpose().map_err(|_| problem())?;
    match (name, calls) {
        ("one", None) => Ok(Lanes::One),
        ("hashed", Some(lanes)) => Ok(Lanes::Hashed(lanes)),
        ("per-key", Some(calls)) => Ok(Lanes::PerKey { calls }),
        _ => Err(problem()),
    }
}

/// Reads a tag: `KEY=VALUE`, where the key ends at the first `=` and the value may be empty.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not a tag such as team=billing")),
    }
}

/// An AWS account.
pub(crate) fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("use the twelve digits of an account".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_a_key_and_may_have_a_value() {
        let read = |text| tag(text).unwrap();
        assert_eq!(read("team=billing"), ("team".to_owned(), "billing".to_owned()));
        assert_eq!(read("team="), ("team".to_owned(), String::new()));
        assert_eq!(read("a=b=c"), ("a".to_owned(), "b=c".to_owned()));
        for wrong in ["", "team", "=billing"] {
            assert!(tag(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lanes_say_how_many() {
        assert_eq!(lanes("one"), Ok(Lanes::One));
        assert_eq!(lanes("hashed:10"), Ok(Lanes::Hashed(10)));
        assert_eq!(lanes("per-key:64"), Ok(Lanes::PerKey { calls: 64 }));
        for wrong in ["", "one:1", "hashed", "hashed:", "hashed:-1", "per-key", "per-record:3"] {
            assert!(lanes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes("17"), Ok(17));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("2 g"), Ok(2 << 30));
        for wrong in [
            "",
            "MiB",
            "1TB",
            "-1",
            "1.5MiB",
            "99999999999999999999",
            "99999999999GiB",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hours_are_whole() {
        assert_eq!(hours("48h"), Ok(Duration::from_hours(48)));
        assert_eq!(hours("7days"), Ok(Duration::from_hours(168)));
        for wrong in ["", "48", "90min", "48h 1ms"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_have_a_port() {
        assert_eq!(address("127.0.0.1:80"), Ok(([127, 0, 0, 1], 80).into()));
        assert!(address("localhost:80").unwrap().ip().is_loopback());
        assert!(address("127.0.0.1").is_err());
    }
}
