//! TensorBoard's file format: records framed as in TFRecord, each a protobuf `Event`.
//!
//! A record is the length `n` (u64, little endian), the masked CRC-32C of these 8 bytes, `n` bytes, and their masked
//! CRC-32C. A checksum `c` is masked as `((c >> 15) | (c << 17)) + 0xa282ead8`, since a CRC over data that contains its
//! own CRC checks badly (`tensorflow/core/lib/hash/crc32c.h`). Fields and their numbers are those of
//! `tensorboard/compat/proto/event.proto` and `summary.proto`.

use prost::Message;

/// CRC-32C, the Castagnoli polynomial.
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// What the first event of a file says.
const VERSION: &str = "brain.Event:2";

/// `SessionLog.SessionStatus.START`.
const START: i32 = 1;

/// Something at a step, or the version of the file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub(super) session_log: Option<SessionLog>,
}

/// Values of one step.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

/// A number or a picture under a name.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    /// `simple_value` of `summary.proto`.
    #[prost(float, optional, tag = "2")]
    pub(super) scalar: Option<f32>,
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<Image>,
}

/// A picture.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Image {
    #[prost(int32, tag = "1")]
    pub(super) height: i32,
    #[prost(int32, tag = "2")]
    pub(super) width: i32,
    /// Channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
    #[prost(int32, tag = "3")]
    pub(super) colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) encoded_image_string: Vec<u8>,
}

/// What a program did to its log.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

impl Event {
    /// What every file begins with.
    pub(super) fn version(wall_time: f64) -> Self {
        Self { wall_time, file_version: Some(VERSION.to_owned()), ..Self::default() }
    }

    /// A process begins to work on the run at a step. Readers drop what earlier files have at this step and after it;
    /// the first such event of a run drops nothing, so every file has one.
    pub(super) fn start(wall_time: f64, step: i64) -> Self {
        Self { wall_time, step, session_log: Some(SessionLog { status: START }), ..Self::default() }
    }

    /// As a record.
    pub(super) fn record(&self) -> Vec<u8> {
        let payload = self.encode_to_vec();
        let length = (payload.len() as u64).to_le_bytes();
        [&length[..], &masked(&length), &payload, &masked(&payload)].concat()
    }
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4: 32 zeros, and the bytes 0 to 31.
    #[test]
    #[expect(clippy::manual_rotate, reason = "the mask as its definition has it")]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(CRC.checksum(&[0; 32]), 0x8a91_36aa);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(CRC.checksum(&ascending), 0x46dd_794e);
        let c = 0x8a91_36aa_u32;
        let mask = ((c >> 15) | (c << 17)).wrapping_add(0xa282_ead8);
        assert_eq!(masked(&[0; 32]), mask.to_le_bytes());
    }

    /// By hand after the protobuf encoding's rules: field 2 as varint, field 5 with a value "t" of 0, which is there all
    /// the same.
    #[test]
    fn an_event_has_the_bytes_that_its_fields_say() {
        let value = Value { tag: "t".to_owned(), scalar: Some(0.0), image: None };
        let event = Event { step: 300, summary: Some(Summary { value: vec![value] }), ..Event::default() };
        let value = [0x0a, 1, b't', 0x15, 0, 0, 0, 0];
        let summary = [&[0x0a, 8], &value[..]].concat();
        let expected = [&[0x10, 0xac, 0x02, 0x2a, 10], &summary[..]].concat();
        assert_eq!(event.encode_to_vec(), expected);
        let record = event.record();
        assert_eq!(record[..8], (expected.len() as u64).to_le_bytes());
        assert_eq!(record[8..12], masked(&record[..8]));
        assert_eq!(record[12..12 + expected.len()], expected);
        assert_eq!(record[12 + expected.len()..], masked(&expected));
    }
}
