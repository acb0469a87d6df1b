//! A place in JSON text that moves over ordinary JSON fast: strings 64 bytes at a time, whole numbers eight.
//!
//! What is not ordinary it leaves alone and calls [`Unusual`]. Whether that is JSON, and what it means, is for serde_json to
//! say, which reads the whole record then. So nothing is ever refused here; but what is passed over must be what serde_json
//! would have passed over, to the byte.
//!
//! No library does this within our rules. sonic-rs passes over what nobody reads by recursion, so that a record could exhaust the
//! stack, and without a look at the digits of `\u`. simd-json wants text that it may write into, and reads every value.
//! serde_json keeps every rule, and takes twice as long.

use wide::u8x16;

/// Something that serde_json has to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unusual;

/// A string as it was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'de> {
    /// Without escapes: its contents.
    Plain(&'de str),
    /// With escapes: its source, quotes and all.
    Escaped(&'de str),
}

/// A number as it was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number<'de> {
    /// A whole one of few digits.
    Int(i64),
    /// One with a fraction or an exponent: its source.
    Float(&'de str),
    /// Any other: its source.
    Other(&'de str),
}

/// How many digits a whole number may have here: as many as an `i64` holds whatever they are.
const MOST_DIGITS: usize = 18;
/// How many bytes are searched at once.
const BLOCK: usize = 64;

/// A place in a text.
///
/// What it does for each record is compiled into its caller, where it lives in registers: in memory it is slower by half. What it
/// seldom does is a call, which begins with a scanner of its own and returns its place.
#[derive(Debug)]
pub(super) struct Scanner<'de> {
    text: &'de str,
    at: usize,
    /// The number of the block that was searched last.
    block: usize,
    /// A bit for each byte of it that is a quote, a backslash or a control character.
    specials: u64,
}

impl<'de> Scanner<'de> {
    /// At a place in a text.
    #[inline(always)]
    pub(super) fn new(text: &'de str, at: usize) -> Self {
        Self {
            text,
            at,
            block: usize::MAX,
            specials: 0,
        }
    }

    /// The place, for [`Scanner::since`] and [`Scanner::go_back`].
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to a place where it has been.
    pub(super) fn go_back(&mut self, at: usize) {
        self.at = at;
    }

    /// What has been passed since a place.
    #[inline(always)]
    pub(super) fn since(&self, start: usize) -> &'de str {
        &self.text[start..self.at]
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes the next byte.
    #[inline(always)]
    fn next(&mut self) -> Result<u8, Unusual> {
        let byte = self.peek().ok_or(Unusual)?;
        self.at += 1;
        Ok(byte)
    }

    /// The eight bytes from here on, the first one lowest.
    #[inline(always)]
    fn eight(&self) -> Option<u64> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.first_chunk().copied().map(u64::from_le_bytes)
    }

    /// Passes white space and the byte after it.
    #[inline(always)]
    pub(super) fn token(&mut self) -> Result<u8, Unusual> {
        let token = self.peek_token()?;
        self.at += 1;
        Ok(token)
    }

    /// Passes white space, but not the byte after it.
    #[inline(always)]
    pub(super) fn peek_token(&mut self) -> Result<u8, Unusual> {
        loop {
            let byte = self.peek().ok_or(Unusual)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
    }

    /// Passes white space and this byte.
    #[inline(always)]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Unusual> {
        if self.token()? == byte {
            Ok(())
        } else {
            Err(Unusual)
        }
    }

    /// Whether there is nothing more than white space.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek_token().is_err()
    }

    /// Passes these bytes.
    #[inline(always)]
    fn word(&mut self, word: &str) -> Result<(), Unusual> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Unusual);
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes a string, from its opening quote on.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Found<'de>, Unusual> {
        let start = self.at;
        self.at += 1;
        match self.special()? {
            b'"' => Ok(Found::Plain(&self.text[start + 1..self.at - 1])),
            b'\\' => {
                self.at = Self::new(self.text, self.at).rest_of_escaped()?;
                Ok(Found::Escaped(self.since(start)))
            }
            _ => Err(Unusual),
        }
    }

    /// Passes everything up to the next quote, backslash or control character, and that too.
    #[inline(always)]
    fn special(&mut self) -> Result<u8, Unusual> {
        loop {
            let block = self.at / BLOCK;
            if block != self.block {
                self.block = block;
                self.specials = specials(self.text.as_bytes(), block * BLOCK).ok_or(Unusual)?;
            }
            let ahead = self.specials >> (self.at % BLOCK);
            if ahead != 0 {
                self.at += ahead.trailing_zeros() as usize;
                return self.next();
            }
            self.at = (block + 1) * BLOCK;
        }
    }

    /// The place after a string, of which a backslash has been passed.
    #[inline(never)]
    fn rest_of_escaped(mut self) -> Result<usize, Unusual> {
        loop {
            self.escape()?;
            match self.special()? {
                b'"' => return Ok(self.at),
                b'\\' => {}
                _ => return Err(Unusual),
            }
        }
    }

    /// Passes what follows the backslash of an escape.
    fn escape(&mut self) -> Result<(), Unusual> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    if !self.next()?.is_ascii_hexdigit() {
                        return Err(Unusual);
                    }
                }
                Ok(())
            }
            _ => Err(Unusual),
        }
    }

    /// Passes a number, from its sign or first digit on.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Result<Number<'de>, Unusual> {
        let start = self.at;
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let first = self.at;
        // Wrong where there are too many digits, and then of no use.
        let mut value: u64 = 0;
        loop {
            let Some(eight) = self.eight() else {
                while let Some(digit @ b'0'..=b'9') = self.peek() {
                    value = value.wrapping_mul(10).wrapping_add((digit - b'0').into());
                    self.at += 1;
                }
                break;
            };
            let (some, count) = leading_digits(eight);
            value = value.wrapping_mul(POWERS[count]).wrapping_add(some);
            self.at += count;
            if count < 8 {
                break;
            }
        }
        let digits = self.at - first;
        let begins_with_zero = self.text.as_bytes().get(first) == Some(&b'0');
        if digits == 0 || (digits > 1 && begins_with_zero) {
            return Err(Unusual);
        }
        if let Some(b'.' | b'e' | b'E') = self.peek() {
            self.at = Self::new(self.text, self.at).fraction_and_exponent()?;
            return Ok(Number::Float(self.since(start)));
        }
        // Zero with a sign is no whole number.
        if digits > MOST_DIGITS || (is_negative && value == 0) {
            return Ok(Number::Other(self.since(start)));
        }
        let value = value.cast_signed();
        Ok(Number::Int(if is_negative { -value } else { value }))
    }

    /// The place after the fraction and exponent of a number, at least one of which is here.
    #[inline(never)]
    fn fraction_and_exponent(mut self) -> Result<usize, Unusual> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.at)
    }

    /// Passes at least one digit.
    fn digits(&mut self) -> Result<(), Unusual> {
        let first = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == first {
            Err(Unusual)
        } else {
            Ok(())
        }
    }

    /// Passes a value and white space before it. What is nested too deeply for a word of bits is unusual.
    #[inline(always)]
    pub(super) fn skip(&mut self) -> Result<(), Unusual> {
        match self.peek_token()? {
            b'{' | b'[' => {
                self.at = Self::new(self.text, self.at).skip_nested()?;
                Ok(())
            }
            token => self.skip_scalar(token),
        }
    }

    /// Passes a value that begins with this byte and is neither a list nor an object.
    #[inline(always)]
    fn skip_scalar(&mut self, token: u8) -> Result<(), Unusual> {
        match token {
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => Err(Unusual),
        }
    }

    /// The place after a list or an object, whose bracket is here.
    #[inline(never)]
    fn skip_nested(mut self) -> Result<usize, Unusual> {
        // Of each list and object that is open a bit, set for an object, below a bit that is always set.
        let mut open: u64 = 1;
        loop {
            // A value begins.
            let token = self.peek_token()?;
            if matches!(token, b'{' | b'[') {
                if open.leading_zeros() == 0 {
                    return Err(Unusual);
                }
                self.at += 1;
                let is_object = token == b'{';
                open = open << 1 | u64::from(is_object);
                let close = if is_object { b'}' } else { b']' };
                if self.peek_token()? != close {
                    if is_object {
                        self.skip_key()?;
                    }
                    continue;
                }
            } else {
                self.skip_scalar(token)?;
            }
            // A comma follows, or some of what is open ends.
            loop {
                match (self.token()?, open & 1) {
                    (b'}', 1) | (b']', 0) => open >>= 1,
                    (b',', 1) => {
                        self.skip_key()?;
                        break;
                    }
                    (b',', _) => break,
                    _ => return Err(Unusual),
                }
                if open == 1 {
                    return Ok(self.at);
                }
            }
        }
    }

    /// Passes a key and its colon, and white space before either.
    #[inline(always)]
    fn skip_key(&mut self) -> Result<(), Unusual> {
        if self.peek_token()? != b'"' {
            return Err(Unusual);
        }
        self.string()?;
        self.expect(b':')
    }
}

/// A bit for each byte of a block that is a quote, a backslash or a control character. The block may reach beyond the text.
#[inline(always)]
fn specials(text: &[u8], start: usize) -> Option<u64> {
    if start >= text.len() {
        return None;
    }
    // At the end of the text, the block is filled up with bytes before it, whose bits are then left out.
    let from = start.min(text.len().saturating_sub(BLOCK));
    match text[from..].first_chunk() {
        Some(block) => Some(specials_of(block) >> (start - from)),
        None => {
            let mut block = [b' '; BLOCK];
            block[..text.len()].copy_from_slice(text);
            Some(specials_of(&block))
        }
    }
}

/// The same of a whole block.
#[inline(never)]
fn specials_of(block: &[u8; BLOCK]) -> u64 {
    let (lanes, _) = block.as_chunks();
    lanes.iter().rev().fold(0, |bits, lane| {
        let lane = u8x16::new(*lane);
        let is_special = lane.simd_eq(u8x16::splat(b'"'))
            | lane.simd_eq(u8x16::splat(b'\\'))
            | lane.simd_eq(lane.min(u8x16::splat(0x1f)));
        bits << 16 | u64::from(is_special.to_bitmask())
    })
}

/// The same byte eight times.
const fn eight_times(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The powers of ten.
const POWERS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// The number that the digits spell with which eight bytes begin, and how many there are.
#[inline(always)]
fn leading_digits(eight: u64) -> (u64, usize) {
    let digits = eight.wrapping_sub(eight_times(b'0'));
    // A byte below '0' borrows from the next, and has high bits then; one above '9' has them with 6 more, or had them before. Only
    // bytes above the first such may be judged wrong.
    let others = (digits.wrapping_add(eight_times(6)) | digits) & eight_times(0xf0);
    let count = others.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    // With zeros before them they are eight.
    let digits = digits << (64 - 8 * count);
    // Neighbours are put together: digits to pairs, pairs to fours, and fours to all of it.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let all = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    (all, count as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_special(byte: u8) -> bool {
        matches!(byte, b'"' | b'\\' | ..b' ')
    }

    proptest! {
        #[test]
        fn each_special_byte_of_a_text_has_its_bit(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            for start in (0..256).step_by(BLOCK) {
                let found = specials(&text, start);
                prop_assert_eq!(found.is_some(), start < text.len());
                for bit in 0..BLOCK {
                    let expected = text.get(start + bit).copied().is_some_and(is_special);
                    prop_assert_eq!(found.unwrap_or(0) >> bit & 1 == 1, expected);
                }
            }
        }

        #[test]
        fn digits_are_counted_and_spell_a_number(digits in "[0-9]{0,8}", rest in proptest::collection::vec(any::<u8>(), 8)) {
            let mut bytes = digits.into_bytes();
            bytes.extend(rest);
            let count = bytes[..8].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let value = bytes[..count].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
            let eight = bytes.first_chunk().map(|eight| u64::from_le_bytes(*eight));
            prop_assert_eq!(eight.map(leading_digits), Some((value, count)));
        }
    }

    #[test]
    fn what_is_nested_a_word_of_bits_deep_is_passed_and_no_more() {
        for depth in [1, 2, 62, 63, 64, 65, 100_000] {
            for (open, close) in [("[", "]"), (r#"{"a": "#, "}")] {
                let text = format!("{}1{} ,", open.repeat(depth), close.repeat(depth));
                let mut scanner = Scanner::new(&text, 0);
                let passed = scanner.skip();
                assert_eq!(passed.is_ok(), depth < 64, "{depth}");
                if passed.is_ok() {
                    assert_eq!(scanner.token(), Ok(b','));
                    assert!(scanner.is_at_end());
                }
            }
        }
    }
}
