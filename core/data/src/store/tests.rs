use szar_core::progress::Silent;
use szar_core::{
    ClassId, ClassList, ClassSplit, DatasetConfig, DatasetInfo, Problems, SampleInfo, SampleRole, testing,
};

use super::*;
use crate::preprocess::StandardConfig;
use crate::readers::SkeletonNpzConfig;
use crate::readers::test_data::real;

/// Sample i is i + 1 frames of two joints at x = i + 1; person 1 is in sample 2 alone; sample 3 is broken.
struct Small {
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
}

fn small(persons: usize) -> Small {
    let sample = |i: usize| SampleInfo {
        name: format!("clip{i}"),
        class: ClassId(0),
        subject: None,
        role: SampleRole::Train,
        usable: true,
    };
    let info = DatasetInfo {
        name: "small".into(),
        layout: Arc::new(testing::layout(2)),
        classes: ClassList::numbered(["a"]).unwrap(),
        persons,
        synthetic: None,
    };
    Small {
        info,
        samples: (0..4).map(sample).collect(),
    }
}

impl Dataset for Small {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        if sample == 3 {
            return Err(Error::format("clip3.txt", "line 7".to_owned(), "is cut short"));
        }
        let person = |p: usize| {
            if p == 0 || (p == 1 && sample == 2) {
                [sample as f32 + 1.0, p as f32, 0.0]
            } else {
                [0.0; 3]
            }
        };
        let frame: Vec<f32> = (0..self.info.persons)
            .flat_map(|p| [person(p), person(p)])
            .flatten()
            .collect();
        Ok(Sequence {
            joints: frame.repeat(sample + 1),
            frames: sample + 1,
            persons: self.info.persons,
            fps: 30.0,
        })
    }

    fn split(&self) -> Result<ClassSplit> {
        Err(Error::Missing("split".into()))
    }
}

fn options() -> StandardConfig {
    let config: StandardConfig =
        serde_json::from_str(r#"{"frames": 3, "centre": "none", "resample": "pad"}"#).unwrap();
    let mut problems = Problems::new();
    config.validate(&mut problems);
    assert!(problems.is_empty());
    config
}

fn load(persons: usize, samples: &[usize]) -> Result<SkeletonStore> {
    SkeletonStore::load(&small(persons), &options(), samples, &Silent, &Cancel::default())
}

#[test]
fn a_batch_holds_the_rows_asked_for_in_order() {
    let store = load(1, &[2, 0, 1]).unwrap();
    let batch = store.batch(&[2, 0, 2], Device::Cpu).unwrap();
    assert_eq!(batch.joints.size(), [3, 3, 3, 2, 1]);
    let x = |row: i64, frame: i64| batch.joints.double_value(&[row, 0, frame, 1, 0]);
    assert_eq!(
        [x(0, 0), x(0, 1), x(0, 2), x(1, 2), x(2, 0)],
        [2.0, 2.0, 0.0, 3.0, 2.0]
    );
    assert_eq!(host::to_i64(&batch.frames).unwrap(), [2, 3, 2]);
    assert_eq!(store.values(1..2).unwrap()[..6], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn persons_that_nobody_needs_are_left_out() {
    let store = load(4, &[0, 1, 2]).unwrap();
    assert_eq!(
        (store.persons(), store.values(0..3).unwrap().len()),
        (2, 3 * 3 * 3 * 2 * 2)
    );
    let batch = store.batch(&[0, 2], Device::Cpu).unwrap();
    assert_eq!(batch.present, [true, false, true, true]);
    assert_eq!(batch.joints.double_value(&[1, 1, 0, 0, 1]), 1.0);
    assert_eq!(load(4, &[0, 1]).unwrap().persons(), 1);
}

#[test]
fn sequences_in_a_file_are_those_in_memory_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let spill = Spill {
        folder: folder.path().join("sequences"),
        above: 0,
    };
    for persons in [1, 4] {
        let (memory, cancel) = (load(persons, &[2, 0, 1]).unwrap(), Cancel::default());
        let file = SkeletonStore::load_within(
            &small(persons),
            &options(),
            &[2, 0, 1],
            Some(&spill),
            &Silent,
            &cancel,
        );
        let file = file.unwrap();
        assert!(matches!(file.joints, Joints::File(_)) && matches!(memory.joints, Joints::Memory(_)));
        assert_eq!(file.values(0..3).unwrap(), memory.values(0..3).unwrap());
        assert_eq!(file.values(1..2).unwrap(), memory.values(1..2).unwrap());
        let mut shown = Vec::new();
        file.show(1..3, |some| shown.extend_from_slice(some)).unwrap();
        assert_eq!(shown[..], memory.values(1..3).unwrap()[..]);
        let [ours, theirs] = [&file, &memory].map(|s| s.batch(&[2, 0, 2], Device::Cpu).unwrap());
        assert!(ours.joints.equal(&theirs.joints) && ours.frames.equal(&theirs.frames));
        assert_eq!(ours.present, theirs.present);
        assert_eq!(std::fs::read_dir(&spill.folder).unwrap().count(), 0);
    }
    // A folder that cannot be: its parent is a file.
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let spill = Spill {
        folder: blocked.join("sequences"),
        above: 0,
    };
    let cancel = Cancel::default();
    let error = SkeletonStore::load_within(&small(1), &options(), &[0], Some(&spill), &Silent, &cancel);
    assert!(error.unwrap_err().to_string().contains("sequences"));
}

#[test]
fn a_bad_sample_stops_with_its_name_and_file() {
    let error = load(1, &[0, 3, 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "dataset `small`, sequence `clip3`: clip3.txt, line 7: is cut short"
    );
}

#[test]
fn rows_that_are_not_there_are_refused() {
    let error = load(1, &[0]).unwrap().batch(&[1], Device::Cpu).unwrap_err();
    assert_eq!(error.to_string(), "sequence 1 was asked for, the store has 1");
    assert!(load(1, &[]).unwrap_err().to_string().contains("nothing to read"));
}

#[test]
fn a_request_to_stop_is_heard() {
    let cancel = Cancel::default();
    cancel.request();
    let result = SkeletonStore::load(&small(1), &options(), &[0], &Silent, &cancel);
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn every_usable_sequence_of_the_real_sets_is_preprocessed() {
    let sets = [
        "combined",
        "utkinect",
        "msr_action3d",
        "nw_ucla",
        "gtu3d",
        "hdm05_11",
    ];
    for root in sets.iter().map_while(|set| real(set)) {
        let config = SkeletonNpzConfig {
            root: root.clone().into(),
            ..Default::default()
        };
        let data = config.build(&testing::build_context()).unwrap();
        let usable: Vec<usize> = (0..data.samples().len())
            .filter(|i| data.samples()[*i].usable)
            .collect();
        let options = StandardConfig::default();
        let store = SkeletonStore::load(&*data, &options, &usable, &Silent, &Cancel::default()).unwrap();
        let layout = &data.info().layout;
        assert_eq!(store.size, [usable.len(), 48, layout.len(), 1], "{root:?}");
        let Joints::Memory(joints) = &store.joints else {
            panic!("{root:?}: not in memory")
        };
        // The mean joint of every first frame is the origin: f32 rounding of coordinates of a few metres.
        let first = joints
            .select(2, 0)
            .mean_dim([2i64].as_slice(), false, Kind::Float);
        assert!(first.abs().max().double_value(&[]) < 1e-5, "{root:?}");
        assert_eq!(joints.isfinite().all().int64_value(&[]), 1, "{root:?}");
    }
}
