//! The part of protobuf's wire format that aggregates need.

/// Groups nest as deep as protobuf's own readers allow.
const NESTING_MAX: usize = 100;

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const GROUP_START: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED_32: u64 = 5;

/// A field of a message, as far as readers here look into it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Number(u64),
    /// From here, so many bytes.
    Bytes {
        start: usize,
        len: usize,
    },
    /// Of another kind; it is read over.
    Other,
}

/// Reads a message from front to back. `None` means that the bytes are not one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes[start..end]`; places are those in `bytes`.
    pub(super) fn new(bytes: &'a [u8], start: usize, end: usize) -> Self {
        let end = end.min(bytes.len());
        Self {
            bytes,
            at: start.min(end),
            end,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.end
    }

    /// Where the next field begins.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// The number and the value of the next field.
    pub(super) fn field(&mut self) -> Option<(u64, Value)> {
        let (number, kind) = self.key()?;
        let value = match kind {
            VARINT => Value::Number(self.varint()?),
            BYTES => {
                let len = usize::try_from(self.varint()?).ok()?;
                let start = self.at;
                self.skip(len)?;
                Value::Bytes { start, len }
            }
            kind => {
                self.skip_other(number, kind)?;
                Value::Other
            }
        };
        Some((number, value))
    }

    fn key(&mut self) -> Option<(u64, u64)> {
        // Keys have 32 bits: a field's number takes 29 of them.
        let key = u64::from(u32::try_from(self.varint()?).ok()?);
        let number = key >> 3;
        (number != 0).then_some((number, key & 7))
    }

    /// Skips a value of fixed length or a group. Groups are followed without recursion.
    fn skip_other(&mut self, number: u64, kind: u64) -> Option<()> {
        let mut open: Vec<u64> = Vec::new();
        let (mut number, mut kind) = (number, kind);
        loop {
            match kind {
                VARINT => drop(self.varint()?),
                BYTES => {
                    let len = usize::try_from(self.varint()?).ok()?;
                    self.skip(len)?;
                }
                FIXED_64 => self.skip(8)?,
                FIXED_32 => self.skip(4)?,
                GROUP_START if open.len() < NESTING_MAX => open.push(number),
                GROUP_END if open.pop() == Some(number) => {}
                _ => return None,
            }
            if open.is_empty() {
                return Some(());
            }
            (number, kind) = self.key()?;
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes[..self.end].get(self.at)?;
            self.at += 1;
            let part = u64::from(byte & 0x7F);
            if shift == 63 && part > 1 {
                return None;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.at = self.at.checked_add(len).filter(|at| *at <= self.end)?;
        Some(())
    }
}

/// How many bytes `value` takes.
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are wanted")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
    out.push(value as u8);
}

pub(super) fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3 | VARINT);
    put_varint(out, value);
}

/// The head of a field of `len` bytes, which are to follow.
pub(super) fn put_bytes_head(out: &mut Vec<u8>, field: u64, len: usize) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, len as u64);
}

/// How many bytes a field of `len` bytes takes, with its head. Fields here have small numbers.
pub(super) fn bytes_field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}
