//! Which recordings are for training: the protocols of NTU RGB+D 60 and 120.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::SampleRole;

use super::name::Name;

/// How training and test samples are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Cross-subject: half of the subjects train.
    #[default]
    Xsub,
    /// Cross-view, NTU RGB+D 60 only: cameras 2 and 3 train, camera 1 tests.
    Xview,
    /// Cross-setup, NTU RGB+D 120 only: even setups train, odd ones test.
    Xset,
}

/// Training subjects of NTU RGB+D 60.
const SUBJECTS_60: [u16; 20] = [
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38,
];

/// Training subjects of NTU RGB+D 120 besides those of 60.
const SUBJECTS_120: [u16; 33] = [
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92,
    93, 94, 95, 97, 98, 100, 103,
];

impl Protocol {
    /// Training or test.
    pub(crate) fn role(self, name: &Name, classes: usize) -> SampleRole {
        let trains = match self {
            Self::Xsub => {
                let subject = &name.subject;
                SUBJECTS_60.contains(subject) || (classes > 60 && SUBJECTS_120.contains(subject))
            }
            Self::Xview => name.camera != 1,
            Self::Xset => name.setup.is_multiple_of(2),
        };
        if trains {
            SampleRole::Train
        } else {
            SampleRole::Test
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_split_as_published() {
        let role = |protocol: Protocol, classes, name| {
            let name = Name::parse(name).unwrap();
            protocol.role(&name, classes) == SampleRole::Train
        };
        let name = "S001C002P045R001A001";
        assert_eq!(
            [60, 120].map(|classes| role(Protocol::Xsub, classes, name)),
            [false, true]
        );
        assert!(role(Protocol::Xsub, 60, "S001C001P038R001A001"));
        assert!(role(Protocol::Xview, 60, name) && !role(Protocol::Xview, 60, "S001C001P001R001A001"));
        assert!(role(Protocol::Xset, 120, "S002C001P003R001A001") && !role(Protocol::Xset, 120, name));
        let subjects = SUBJECTS_60.iter().chain(&SUBJECTS_120);
        assert_eq!(subjects.collect::<std::collections::BTreeSet<_>>().len(), 53);
    }
}
