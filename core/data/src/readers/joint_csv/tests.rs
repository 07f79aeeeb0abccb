use proptest::prelude::*;
use szar_core::SampleRole;
use tempfile::TempDir;

use super::*;

const LONG: &str = "sample,frame,person,joint,x,y,z,class,subject
a,7,p1,head,1,2,3,walk,4
a,7,p2,0,0.5,,1,walk,4
a,9,p1,neck,-1,2,3,walk,4
b,0,p1,head,1,2,3,run,5
";

fn write(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

fn config(dir: &TempDir) -> JointCsvConfig {
    JointCsvConfig {
        root: dir.path().into(),
        layout: Some("common15".into()),
        persons: 2,
        ..Default::default()
    }
}

fn long(content: &str) -> Result<Vec<szar_core::Sequence>> {
    let dir = write(&[("all.csv", content.as_bytes())]);
    let data = config(&dir).open()?;
    (0..data.samples.len()).map(|i| data.load(i)).collect()
}

fn message(content: &str) -> String {
    long(content).err().unwrap().to_string()
}

/// A table of two frames of the fifteen joints; `skip` leaves one joint's cells empty.
fn wide(skip: &str, end: &str) -> String {
    let layout = layouts::by_name("common15").unwrap();
    let columns: Vec<_> = layout
        .joints
        .iter()
        .flat_map(|j| ["x", "y", "z"].map(|a| format!("{j}.{a}")))
        .collect();
    let row = |t: usize| {
        let cell = |c: &String| {
            if c.starts_with(skip) {
                String::new()
            } else {
                format!("{t}.25")
            }
        };
        columns.iter().map(cell).collect::<Vec<_>>().join(";")
    };
    format!(
        "{};class\n{};walk\n{};walk{end}\n",
        columns.join(";"),
        row(0),
        row(1)
    )
}

fn wide_config(dir: &TempDir) -> JointCsvConfig {
    JointCsvConfig {
        form: CsvForm::Wide,
        joint_columns: "{joint}.{axis}".into(),
        delimiter: ';',
        persons: 1,
        metres_per_unit: 2.0,
        ..config(dir)
    }
}

#[test]
fn a_long_table_holds_many_samples() {
    let dir = write(&[("all.csv", LONG.replace("0.5,,1", "0.5,0,1").as_bytes())]);
    let options = JointCsvConfig {
        protocol: Protocol {
            train_subjects: vec![4],
            ..Default::default()
        },
        ..config(&dir)
    };
    let data = options.open().unwrap();
    assert_eq!(data.info.classes.names(), ["run", "walk"]);
    let (a, b) = (&data.samples[0], &data.samples[1]);
    assert_eq!(
        (a.name.as_str(), a.class.0, a.subject, a.role),
        ("a", 1, Some(4), SampleRole::Train)
    );
    assert_eq!((b.name.as_str(), b.class.0, b.role), ("b", 0, SampleRole::Test));
    let sequence = data.load(0).unwrap();
    assert_eq!(
        (sequence.frames, sequence.persons, sequence.joints.len()),
        (2, 2, 180)
    );
    assert_eq!(sequence.joints[..3], [1.0, 2.0, 3.0]);
    assert_eq!(sequence.joints[45..48], [0.5, 0.0, 1.0]);
    assert_eq!(sequence.joints[90..96], [0.0, 0.0, 0.0, -1.0, 2.0, 3.0]);
    assert_eq!(data.load(1).unwrap().frames, 1);
}

#[test]
fn a_wide_table_is_one_sample() {
    let dir = write(&[("walk/1.csv", wide("head", "").as_bytes())]);
    let data = wide_config(&dir).open().unwrap();
    assert_eq!(data.samples[0].name, "walk/1");
    let sequence = data.load(0).unwrap();
    assert_eq!(
        (sequence.frames, &sequence.joints[..4]),
        (2, [0.0, 0.0, 0.0, 0.5].as_slice())
    );
    assert_eq!(sequence.joints[48], 2.5);
    let by_folder = JointCsvConfig {
        class_from: Some(ClassFrom::Folder),
        axes: Axes::Camera,
        root: dir.path().into(),
        ..wide_config(&dir)
    };
    let data = by_folder.open().unwrap();
    assert_eq!(data.load(0).unwrap().joints[3..6], [-0.5, -0.5, 0.5]);
}

#[test]
fn labels_can_stand_in_a_file() {
    let table = LONG.replace(",class,subject", ",c,s");
    let dir = write(&[
        ("all.csv", table.replace("0.5,,1", "0.5,0,1").as_bytes()),
        (
            "labels.csv",
            b"sample,class,subject\nb,run,1\na,walk,2\nc,sit,3\n",
        ),
    ]);
    let options = JointCsvConfig {
        class_from: Some(ClassFrom::File(dir.path().join("labels.csv").into())),
        ..config(&dir)
    };
    let data = options.open().unwrap();
    assert_eq!((data.samples.len(), data.samples[0].subject), (2, Some(2)));
    let one = JointCsvConfig {
        root: dir.path().join("all.csv").into(),
        ..options
    };
    assert_eq!(one.open().unwrap().samples.len(), 2);
}

#[test]
fn mistakes_in_a_long_table_are_named_with_their_line() {
    let good = LONG.replace("0.5,,1", "0.5,0,1");
    let says = |from: &str, to: &str, part: &str| {
        assert!(good.contains(from));
        let text = message(&good.replacen(from, to, 1));
        assert!(text.contains(part), "{text}");
    };
    assert!(message(LONG).contains("line 3: expected a coordinate, found ``"));
    says(
        "0.5,0,1",
        "0.5,NaN,1",
        "line 3: expected a coordinate, found `NaN`",
    );
    says(
        "p1,head,1",
        "p1,hed,1",
        "line 2: unknown joint `hed`; did you mean `head`?, of layout `common15`",
    );
    says("p1,head,1", "p1,15,1", "line 2: unknown joint `15`");
    says(
        "a,9,p1,neck",
        "a,7,p1,head",
        "line 4: joint `head` of frame 7 is given twice",
    );
    says(
        "a,9,p1,neck",
        "a,9,p3,neck",
        "line 4: `p3` is person 3 of the sample, expected at most 2",
    );
    says(
        "a,9,",
        "a,9.5,",
        "line 4: expected the number of a frame, found `9.5`",
    );
    says(
        "b,0,p1",
        "a,0,p1",
        "line 5: sample `a` has the classes `walk` and `run`",
    );
    says(
        "a,9,p1",
        "b,9,p1",
        "line 5: sample `b` has the classes `walk` and `run`",
    );
    says(
        "b,0,p1,head,1,2,3,run,5",
        "b,0,p1,head,1,2,3,,5",
        "line 5: column `class` is empty",
    );
    says("b,0,p1", ",0,p1", "line 5: expected the name of a sample");
    says(
        "b,0,p1,head,1,2,3,run,5\n",
        "b,0,p1,head,1\n",
        "found record with 5 fields",
    );
    says(
        "person,joint",
        "person,jont",
        "unknown column `joint`; did you mean `jont`?",
    );
    let apart = format!("{good}a,11,p1,head,1,2,3,walk,4\n");
    assert!(message(&apart).contains("line 6: sample `a` comes again after another"));
    let header = good.lines().next().unwrap();
    assert!(message(header).contains("has no row below the header"));
    assert!(message("").contains("unknown column `frame`"));
}

#[test]
fn mistakes_in_a_wide_table_are_named() {
    let says = |content: &str, part: &str| {
        let dir = write(&[("1.csv", content.as_bytes())]);
        let text = wide_config(&dir)
            .open()
            .and_then(|d| d.load(0))
            .err()
            .unwrap()
            .to_string();
        assert!(text.contains(part), "{text}");
    };
    says(
        &wide("-", "").replace("neck.y", "nek.y"),
        "1.csv: unknown column `neck.y`",
    );
    says(
        &wide("-", "").replacen("0.25", "inf", 1),
        "line 2: expected a coordinate, found `inf`",
    );
    says(&wide("neck.y", ""), "line 2: expected a coordinate, found ``");
    says(&wide("-", ";3"), "found record with 47 fields");
    let frames = wide("-", "")
        .replacen("class", "class;frame", 1)
        .replace("walk", "walk;3");
    says(
        &frames,
        "line 3: frame 3 comes after frame 3, expected rising numbers",
    );
}

#[test]
fn text_that_is_not_utf8_and_samples_of_one_name_are_refused() {
    let dir = write(&[("a.csv", b"sample,frame,joint,x,y,z,class\na\xff,0,0,1,1,1,w\n")]);
    assert!(
        config(&dir)
            .open()
            .err()
            .unwrap()
            .to_string()
            .contains("invalid utf-8")
    );
    let table = LONG.as_bytes();
    let dir = write(&[("a.csv", table), ("b.csv", table)]);
    let text = config(&dir).open().err().unwrap().to_string();
    assert!(
        text.contains("b.csv: holds a sample `a`, which ") && text.ends_with("a.csv holds too"),
        "{text}"
    );
}

#[test]
fn few_rows_do_not_take_much_memory() {
    let rows: String = (0..10_000).map(|t| format!("a,{t},p,0,1,1,1,w,\n")).collect();
    let table = format!("{}\n{rows}", LONG.lines().next().unwrap());
    let dir = write(&[("all.csv", table.as_bytes())]);
    let options = JointCsvConfig {
        persons: 8,
        ..config(&dir)
    };
    let text = options.open().unwrap().load(0).unwrap_err().to_string();
    assert!(
        text.ends_with("has 10000 rows for 10000 frames, where 1200000 joints are expected"),
        "{text}"
    );
}

#[test]
fn mistakes_in_the_options_are_listed_together() {
    let options = JointCsvConfig {
        form: CsvForm::Wide,
        joint_columns: "{joint}".into(),
        persons: 9,
        delimiter: 'ä',
        metres_per_unit: 0.0,
        ..Default::default()
    };
    let mut problems = Problems::new();
    options.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "root",
            "split",
            "layout",
            "metres_per_unit",
            "persons",
            "delimiter",
            "joint_columns"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn garbled_tables_never_panic(cut in 0usize..300, at in 0usize..300, byte: u8) {
        let mut bytes = LONG.replace("0.5,,1", "0.5,0,1").into_bytes();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        bytes.truncate(cut);
        let dir = write(&[("all.csv", &bytes)]);
        if let Ok(data) = config(&dir).open() {
            for sample in 0..data.samples.len() { let _ = data.load(sample); }
        }
        let mut bytes = wide("-", "").into_bytes();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        let dir = write(&[("1.csv", &bytes)]);
        let _ = wide_config(&dir).open().and_then(|d| d.load(0));
    }
}
