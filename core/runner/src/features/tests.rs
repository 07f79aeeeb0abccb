//! Features that are kept equal those that are computed, whatever happened to the files in between.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use szar_core::config::StoredPrecision;
use szar_core::descriptors::{self, TemporalSplit};
use szar_core::progress::Silent;
use szar_core::{
    BuildContext, Cancel, Dataset, DatasetConfig, EncoderSpec, Encoding, Error, FeatureMap, FitContext,
    FitSummary, Granularity, NamedTensors, Result, Seed, SeenSkeletons, SkeletonBatch, SkeletonEncoder,
};
use szar_data::store::SkeletonStore;
use tch::{Device, Kind};

use super::*;

/// Three quarters of a second per sequence averaged away: T' = 4 of T = 8, channels x, y and z; counts what it encodes.
struct Halver {
    encoded: Cell<usize>,
    /// Batches after which it asks to stop.
    stop: Option<(usize, Cancel)>,
}

impl Halver {
    fn new() -> Self {
        Self {
            encoded: Cell::new(0),
            stop: None,
        }
    }
}

impl SkeletonEncoder for Halver {
    fn spec(&self) -> EncoderSpec {
        EncoderSpec {
            channels: 3,
            frames: 4,
            joints: 25,
            classifies: true,
        }
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        self.encoded.set(self.encoded.get() + 1);
        if let Some((_, cancel)) = self.stop.as_ref().filter(|(n, _)| *n == self.encoded.get()) {
            cancel.request();
        }
        let (b, t) = (batch.joints.size()[0], batch.joints.size()[2]);
        let halves = batch.joints.select(4, 0).view([b, 3, 4, t / 4, -1]);
        let map = halves.mean_dim([3i64].as_slice(), false, Kind::Float);
        let logits = map.mean_dim([2i64, 3].as_slice(), false, Kind::Float) * 2.0;
        Ok(Encoding {
            features: FeatureMap::new(map)?,
            seen_logits: Some(logits),
        })
    }

    fn fit(
        &mut self,
        _: &dyn SeenSkeletons,
        _: &dyn SeenSkeletons,
        _: &mut FitContext,
    ) -> Result<FitSummary> {
        Err(Error::Input("has nothing to learn".into()))
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}

struct Fixture {
    folder: Arc<tempfile::TempDir>,
    sequences: SkeletonStore,
}

impl Fixture {
    /// 300 sequences: three batches, the last not full.
    fn new() -> Self {
        Self::within(Arc::new(tempfile::tempdir().unwrap()))
    }

    fn within(folder: Arc<tempfile::TempDir>) -> Self {
        let ctx = BuildContext {
            device: Device::Cpu,
            seed: Seed(1),
            cache: std::env::temp_dir(),
        };
        let config = szar_data::motion::ProceduralConfig {
            samples_per_class: 10,
            ..Default::default()
        };
        let dataset: Box<dyn Dataset> = config.build(&ctx).unwrap();
        let preprocess = szar_data::preprocess::StandardConfig {
            frames: 8,
            ..Default::default()
        };
        let samples: Vec<usize> = (0..300).collect();
        let cancel = Cancel::default();
        let sequences =
            SkeletonStore::load(dataset.as_ref(), &preprocess, &samples, &Silent, &cancel).unwrap();
        Self { folder, sequences }
    }

    fn extraction<'a>(&'a self, encoder: &'a Halver, cancel: &'a Cancel) -> Extraction<'a> {
        Extraction {
            encoder,
            store: &self.sequences,
            count: 300,
            device: Device::Cpu,
            progress: &Silent,
            cancel,
        }
    }

    fn form(&self, encoder: &Halver, map: Option<StoredPrecision>) -> Form {
        Form::new(300, encoder.spec(), map, self.sequences.layout(), BTreeMap::new())
    }

    /// Features of the entry `key`, where they came from, and how many batches were encoded.
    fn obtain(&self, map: Option<StoredPrecision>) -> (Features, Origin, usize) {
        let (encoder, cancel) = (Halver::new(), Cancel::default());
        let store = FeatureStore::new(self.folder.path().into());
        let form = self.form(&encoder, map);
        let extraction = self.extraction(&encoder, &cancel);
        let (features, origin) = store
            .obtain("key", &form, wanted(map), self.sequences.layout(), &extraction)
            .unwrap();
        (features, origin, encoder.encoded.get())
    }

    fn computed(&self, pooled: bool) -> Features {
        let (encoder, cancel) = (Halver::new(), Cancel::default());
        self.extraction(&encoder, &cancel).run(pooled).unwrap()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        FeatureStore::new(self.folder.path().into())
            .folder_of("key")
            .join(name)
    }
}

type Harm<'a> = &'a dyn Fn(&Fixture);

fn wanted(map: Option<StoredPrecision>) -> Wanted {
    map.map_or(Wanted::Descriptors, |_| Wanted::Map)
}

fn same(a: &Features, b: &Features) -> bool {
    let logits = |f: &Features| f.seen_logits.as_ref().unwrap().shallow_clone();
    a.map.values.equal(&b.map.values) && logits(a).equal(&logits(b))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_kept_equals_what_is_computed() {
    let fixture = Fixture::new();
    let map = Some(StoredPrecision::F32);
    let (first, origin, encoded) = fixture.obtain(map);
    assert_eq!((origin, encoded), (Origin::Computed, 3));
    let (second, origin, encoded) = fixture.obtain(map);
    assert_eq!((origin, encoded), (Origin::Kept, 0));
    let computed = fixture.computed(false);
    assert!(same(&first, &computed) && same(&second, &computed));
    // Pooled features and descriptors stand beside the map.
    let (pooled, origin, _) = fixture.obtain(None);
    assert_eq!(origin, Origin::Kept);
    assert!(same(&pooled, &fixture.computed(true)));
    let eight = descriptors::pool(
        &computed.map,
        fixture.sequences.layout(),
        &Granularity::PURLS_ORDER,
        TemporalSplit::Floor,
    );
    let eight = eight.unwrap();
    assert_eq!(eight.size(), [300, 8, 3]);
    assert!(
        pooled
            .map
            .descriptors
            .unwrap()
            .allclose(&eight, 1e-5, 1e-6, false)
    );
}

#[test]
fn a_map_that_was_not_kept_is_computed_and_added() {
    let fixture = Fixture::new();
    let (_, _, encoded) = fixture.obtain(None);
    assert_eq!(encoded, 3);
    assert!(!fixture.file("map.f32").exists());
    let (features, origin, _) = fixture.obtain(Some(StoredPrecision::F32));
    assert_eq!(origin, Origin::Computed);
    assert!(same(&features, &fixture.computed(false)));
}

#[test]
fn half_precision_rounds_the_map_and_takes_half_the_space() {
    let fixture = Fixture::new();
    let (features, _, _) = fixture.obtain(Some(StoredPrecision::F16));
    let exact = fixture.computed(false).map.values;
    let rounded = exact.to_kind(Kind::Half).to_kind(Kind::Float);
    assert!(features.map.values.equal(&rounded) && !rounded.equal(&exact));
    let size = fs::metadata(fixture.file("map.f16")).unwrap().len();
    assert_eq!(size, 300 * 3 * 4 * 25 * 2);
}

#[test]
fn damage_is_noticed_and_mended() {
    let fixture = Fixture::new();
    let map = Some(StoredPrecision::F32);
    let computed = fixture.computed(false);
    fixture.obtain(map);
    let last = (300 * 3 * 4 * 25 - 1) * 4;
    let harm: [&dyn Fn(); 4] = [
        &|| flip(&fixture.file("map.f32"), last),
        &|| flip(&fixture.file("logits.f32"), 0),
        &|| fs::write(fixture.file("map.f32"), [0; 100]).unwrap(),
        &|| fs::write(fixture.file("index.json"), "{\"format\": 1").unwrap(),
    ];
    for (i, harm) in harm.into_iter().enumerate() {
        harm();
        let (features, origin, encoded) = fixture.obtain(map);
        assert_eq!((origin, encoded), (Origin::Computed, 3), "harm {i}");
        assert!(same(&features, &computed), "harm {i}");
        assert_eq!(fixture.obtain(map).1, Origin::Kept, "harm {i}");
    }
}

/// Stops after two of three batches.
fn stopped(fixture: &Fixture, map: Option<StoredPrecision>) {
    let cancel = Cancel::default();
    let encoder = Halver {
        encoded: Cell::new(0),
        stop: Some((2, cancel.clone())),
    };
    let store = FeatureStore::new(fixture.folder.path().into());
    let form = fixture.form(&encoder, map);
    let extraction = fixture.extraction(&encoder, &cancel);
    let result = store.obtain("key", &form, wanted(map), fixture.sequences.layout(), &extraction);
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn an_extraction_that_was_stopped_goes_on() {
    let fixture = Fixture::new();
    let map = Some(StoredPrecision::F32);
    stopped(&fixture, map);
    let (features, _, encoded) = fixture.obtain(map);
    assert_eq!(encoded, 1);
    assert!(same(&features, &fixture.computed(false)));
}

#[test]
fn of_an_unfinished_extraction_only_what_is_whole_is_used() {
    let map = Some(StoredPrecision::F32);
    let computed = Fixture::new().computed(false);
    let part = |fixture: &Fixture, name: &str| {
        fixture
            .file(name)
            .parent()
            .unwrap()
            .with_extension("part")
            .join(name)
    };
    // The second batch was not written whole; the journal ends within a line; the journal is of something else.
    let harm: [(Harm, usize); 3] = [
        (&|f| flip(&part(f, "map.f32"), 130 * 3 * 4 * 25 * 4), 2),
        (
            &|f| {
                let path = part(f, "journal");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, &text[..text.len() - 5]).unwrap();
            },
            2,
        ),
        (&|f| fs::write(part(f, "journal"), "{}\n").unwrap(), 3),
    ];
    for (i, (harm, left)) in harm.into_iter().enumerate() {
        let fixture = Fixture::new();
        stopped(&fixture, map);
        harm(&fixture);
        let (features, _, encoded) = fixture.obtain(map);
        assert_eq!(encoded, left, "harm {i}");
        assert!(same(&features, &computed), "harm {i}");
    }
}

#[test]
fn of_two_that_need_an_entry_at_once_one_computes_it() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let run = || {
            Fixture::within(Arc::clone(&folder))
                .obtain(Some(StoredPrecision::F32))
                .2
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 3, "{counts:?}");
}
