//! Records out of what their producer has packed them with. Pure.

use std::io::Read;

use bytes::Bytes;

/// The most that a batch may unpack to: a few bytes can stand for any number, and a producer is not to say how much memory that takes.
const MOST: usize = 256 << 20;

/// How Java's snappy streams begin; behind it are two versions, of four bytes each, and blocks with their length before them.
const SNAPPY_STREAM: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const SNAPPY_BLOCKS: usize = 16;

/// What the records of a batch are packed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Packing {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl TryFrom<i16> for Packing {
    type Error = String;

    /// From its number in the attributes of a batch.
    fn try_from(number: i16) -> Result<Self, String> {
        Ok(match number {
            0 => Packing::None,
            1 => Packing::Gzip,
            2 => Packing::Snappy,
            3 => Packing::Lz4,
            4 => Packing::Zstd,
            other => return Err(format!("compression {other} is not known")),
        })
    }
}

/// Unpacks the records of a batch.
///
/// # Errors
/// If they are damaged or too many, with the reason.
pub(super) fn unpack(packing: Packing, packed: Bytes) -> Result<Bytes, String> {
    match packing {
        Packing::None => Ok(packed),
        Packing::Gzip => read(flate2::read::MultiGzDecoder::new(&*packed)),
        Packing::Lz4 => read(lz4_flex::frame::FrameDecoder::new(&*packed)),
        Packing::Zstd => {
            let stream = zstd::stream::read::Decoder::with_buffer(&*packed);
            read(stream.map_err(|error| error.to_string())?)
        }
        Packing::Snappy => match packed.strip_prefix(&SNAPPY_STREAM) {
            Some(_) => snappy_blocks(packed.get(SNAPPY_BLOCKS..).unwrap_or_default()),
            None => {
                let mut unpacked = Vec::new();
                snappy(&packed, &mut unpacked)?;
                Ok(unpacked.into())
            }
        },
    }
}

fn read(stream: impl Read) -> Result<Bytes, String> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(MOST).unwrap_or(u64::MAX);
    stream
        .take(limit.saturating_add(1))
        .read_to_end(&mut unpacked)
        .map_err(|error| error.to_string())?;
    match unpacked.len() > MOST {
        true => Err(too_much()),
        false => Ok(unpacked.into()),
    }
}

fn snappy_blocks(mut blocks: &[u8]) -> Result<Bytes, String> {
    let mut unpacked = Vec::new();
    while let Some((len, rest)) = blocks.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let Some((block, behind)) = rest.split_at_checked(len) else {
            return Err("a block of snappy ends behind its batch".to_owned());
        };
        snappy(block, &mut unpacked)?;
        blocks = behind;
    }
    Ok(unpacked.into())
}

/// Appends what a block of snappy stands for.
fn snappy(block: &[u8], unpacked: &mut Vec<u8>) -> Result<(), String> {
    let len = snap::raw::decompress_len(block).map_err(|error| error.to_string())?;
    let start = unpacked.len();
    if len > MOST - start.min(MOST) {
        return Err(too_much());
    }
    unpacked.resize(start + len, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut unpacked[start..])
        .map_err(|error| error.to_string())?;
    Ok(())
}

fn too_much() -> String {
    format!("a batch unpacks to more than {} MiB", MOST >> 20)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    const PACKINGS: [Packing; 5] = [
        Packing::None,
        Packing::Gzip,
        Packing::Snappy,
        Packing::Lz4,
        Packing::Zstd,
    ];

    fn pack(packing: Packing, bytes: &[u8]) -> Vec<u8> {
        match packing {
            Packing::None => bytes.to_vec(),
            Packing::Gzip => {
                let mut stream = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                stream.write_all(bytes).unwrap();
                stream.finish().unwrap()
            }
            Packing::Snappy => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
            Packing::Lz4 => {
                let mut stream = lz4_flex::frame::FrameEncoder::new(Vec::new());
                stream.write_all(bytes).unwrap();
                stream.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(bytes, 0).unwrap(),
        }
    }

    /// As Java's producers pack it, in blocks of so many bytes.
    fn java_snappy(bytes: &[u8], block: usize) -> Vec<u8> {
        let mut packed = SNAPPY_STREAM.to_vec();
        packed.extend([0, 0, 0, 1, 0, 0, 0, 1]);
        for block in bytes.chunks(block) {
            let block = pack(Packing::Snappy, block);
            packed.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
            packed.extend(block);
        }
        packed
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(bytes in prop::collection::vec(0..4_u8, 0..2_000)) {
            for packing in PACKINGS {
                let unpacked = unpack(packing, pack(packing, &bytes).into()).unwrap();
                prop_assert_eq!(&*unpacked, &*bytes, "{:?}", packing);
            }
            let unpacked = unpack(Packing::Snappy, java_snappy(&bytes, 100).into()).unwrap();
            prop_assert_eq!(&*unpacked, &*bytes);
        }

        #[test]
        fn what_is_damaged_is_an_error_or_something_else_and_nothing_worse(
            bytes in prop::collection::vec(0..4_u8, 0..500),
            cut in any::<prop::sample::Index>(),
            flipped in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            for packing in PACKINGS {
                let mut packed = pack(packing, &bytes);
                packed.truncate(cut.index(packed.len() + 1));
                if !packed.is_empty() {
                    let at = flipped.index(packed.len());
                    packed[at] ^= flip;
                }
                let _ = unpack(packing, packed.into());
            }
        }
    }

    #[test]
    fn a_few_bytes_that_stand_for_too_many_are_refused() {
        let bomb = vec![0; MOST + 1];
        for packing in PACKINGS.into_iter().skip(1) {
            let error = unpack(packing, pack(packing, &bomb).into()).unwrap_err();
            assert!(error.contains("256 MiB"), "{packing:?}: {error}");
        }
    }

    #[test]
    fn compression_that_is_not_known_is_said_to_be() {
        assert_eq!(Packing::try_from(4), Ok(Packing::Zstd));
        assert!(Packing::try_from(5).unwrap_err().contains("compression 5"));
    }
}
