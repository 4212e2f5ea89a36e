//! TensorBoard's event files read by a reader of their own, which shares no code with the writer: for tests that include
//! this file beside `common`.

use std::collections::BTreeMap;

/// Step, then height, width and channels, then the file.
pub(crate) type Picture = (i64, [u64; 3], Vec<u8>);

/// What TensorBoard would show.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Step, wall time and value of each tag's points.
    pub(crate) scalars: BTreeMap<String, Vec<(i64, f64, f32)>>,
    /// Each tag's pictures.
    pub(crate) images: BTreeMap<String, Vec<Picture>>,
    /// Points that a restart took away.
    pub(crate) dropped: usize,
    started: bool,
}

impl Shown {
    /// Reads one file after the other.
    pub(crate) fn read(files: &[Vec<u8>]) -> Self {
        let mut shown = Self::default();
        for file in files {
            let events = records(file);
            let first = fields(&events[0]);
            assert_eq!(text(one(&first, 3).unwrap()), "brain.Event:2");
            events[1..].iter().for_each(|event| shown.add(event));
        }
        shown
    }

    fn restart(&mut self, step: i64) {
        for points in self.scalars.values_mut() {
            let before = points.len();
            points.retain(|point| point.0 < step);
            self.dropped += before - points.len();
        }
        self.images.values_mut().for_each(|images| images.retain(|image| image.0 < step));
    }

    fn add(&mut self, event: &[u8]) {
        let event = fields(event);
        let time = f64::from_le_bytes(one(&event, 1).unwrap().bytes().try_into().unwrap());
        let step = one(&event, 2).map_or(0, |step| i64::try_from(step.number()).unwrap());
        if let Some(log) = one(&event, 7) {
            assert_eq!(one(&fields(log.bytes()), 1).unwrap().number(), 1, "SessionLog.START");
            // As TensorBoard's slow reader: the first start of a run takes nothing away.
            if std::mem::replace(&mut self.started, true) {
                self.restart(step);
            }
        }
        let Some(summary) = one(&event, 5) else { return };
        for (number, value) in fields(summary.bytes()) {
            assert_eq!(number, 1);
            let value = fields(value.bytes());
            let tag = text(one(&value, 1).unwrap());
            if let Some(scalar) = one(&value, 2) {
                let scalar = f32::from_le_bytes(scalar.bytes().try_into().unwrap());
                self.scalars.entry(tag).or_default().push((step, time, scalar));
            } else {
                let image = fields(one(&value, 4).unwrap().bytes());
                let shape = [1, 2, 3].map(|field| one(&image, field).unwrap().number());
                let png = one(&image, 4).unwrap().bytes().to_vec();
                self.images.entry(tag).or_default().push((step, shape, png));
            }
        }
    }
}

/// A field's content.
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Field {
    fn number(&self) -> u64 {
        let Self::Number(number) = self else { panic!("no number") };
        *number
    }

    fn bytes(&self) -> &[u8] {
        let Self::Bytes(bytes) = self else { panic!("no bytes") };
        bytes
    }
}

fn text(field: &Field) -> String {
    String::from_utf8(field.bytes().to_vec()).unwrap()
}

/// The only field with a number.
fn one(fields: &[(u64, Field)], number: u64) -> Option<&Field> {
    let mut found = fields.iter().filter(|field| field.0 == number).map(|field| &field.1);
    let first = found.next();
    assert!(found.next().is_none(), "field {number} twice");
    first
}

/// The fields of a protobuf message, by their wire types.
fn fields(mut message: &[u8]) -> Vec<(u64, Field)> {
    let mut all = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key % 8 {
            0 => {
                all.push((key / 8, Field::Number(varint(&mut message))));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (content, rest) = message.split_at(length);
        all.push((key / 8, Field::Bytes(content.to_vec())));
        message = rest;
    }
    all
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first().unwrap();
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// The payloads of a file's records, whose checksums are right.
fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while !file.is_empty() {
        let (head, rest) = file.split_at(12);
        let length = usize::try_from(u64::from_le_bytes(head[..8].try_into().unwrap())).unwrap();
        let (payload, rest) = rest.split_at(length);
        let (checksum, rest) = rest.split_at(4);
        assert_eq!(head[8..], masked(&head[..8]).to_le_bytes(), "checksum of a length");
        assert_eq!(checksum, masked(payload).to_le_bytes(), "checksum of an event");
        all.push(payload.to_vec());
        file = rest;
    }
    all
}

/// CRC-32C bit by bit, masked as TFRecord has it.
fn masked(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
