//! The hash by which Kafka's Java client chooses the partition of a key, so that records written by either end up together.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// 32-bit MurmurHash2 with the seed that Kafka uses.
fn murmur2(key: &[u8]) -> u32 {
    let length = u32::try_from(key.len()).expect("records are limited to far less");
    let mut hash = SEED ^ length;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let word = word.wrapping_mul(MULTIPLIER);
        let word = (word ^ (word >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ word;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of a key in a topic of `partitions` partitions, of which there is at least one.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff).cast_signed() % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases that Kafka's own tests publish for its hash.
    #[test]
    fn the_hash_is_kafkas() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn every_length_of_key_has_a_partition() {
        let key = [0xff; 9];
        for length in 0..key.len() {
            assert!((0..3).contains(&partition_of(&key[..length], 3)));
        }
    }

    #[test]
    fn the_sign_bit_is_masked_before_the_remainder() {
        // -790332482 & 0x7fffffff = 1357151166, and 1357151166 % 4 = 2.
        assert_eq!(partition_of(b"foobar", 4), 2);
    }
}
