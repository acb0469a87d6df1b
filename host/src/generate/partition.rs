//! Which partition a key belongs to.

/// The partition of a key.
///
/// The generator chooses partitions itself, so that the oracle knows the order inside each, whatever the
/// log's client would choose.
pub(super) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let partition = fnv1a(key) % u64::from(partitions.unsigned_abs());
    i32::try_from(partition).expect("a remainder is smaller than the number of partitions")
}

/// The FNV-1a hash. A published function and not a library's hasher: those may change between releases, and then so
/// would the bytes generated for a seed.
fn fnv1a(key: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    key.iter().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn users_spread_evenly() {
        let mut counts = [0_u32; 4];
        for user in 0..10_000 {
            let partition = partition_of(format!("u-{user:06}").as_bytes(), 4);
            counts[usize::try_from(partition).unwrap_or(usize::MAX)] += 1;
        }
        assert!(
            counts.iter().all(|count| (2_200..2_800).contains(count)),
            "{counts:?}"
        );
    }
}
