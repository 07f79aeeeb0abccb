//! File names: who did what, where, and before which camera.

/// What a name `SsssCcccPpppRrrrAaaa` says; all numbers as written, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) setup: u16,
    pub(crate) camera: u16,
    pub(crate) subject: u16,
    pub(crate) repetition: u16,
    pub(crate) action: u16,
}

impl Name {
    /// Reads a name without its ending; each letter is followed by three digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
        let number = |at: usize| {
            let [letter, digits @ ..] = [0, 1, 2, 3].map(|i| bytes[at * 4 + i]);
            let known = letter == b"SCPRA"[at] && digits.iter().all(u8::is_ascii_digit);
            let value = digits
                .iter()
                .fold(0, |n, d| n * 10 + u16::from(d.wrapping_sub(b'0')));
            (known && value > 0).then_some(value)
        };
        Some(Self {
            setup: number(0)?,
            camera: number(1)?,
            subject: number(2)?,
            repetition: number(3)?,
            action: number(4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_five_numbers() {
        let name = Name::parse("S017C003P020R002A060").unwrap();
        let numbers = [
            name.setup,
            name.camera,
            name.subject,
            name.repetition,
            name.action,
        ];
        assert_eq!(numbers, [17, 3, 20, 2, 60]);
    }

    #[test]
    fn other_names_are_none() {
        for name in [
            "",
            "S001C001P001R001A00",
            "S001C001P001R001A0011",
            "S001C001P001R001A000",
            "A001C001P001R001S001",
            "S001C001P001R001A0x1",
            "S001C001P001R001A0é1",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }
}
