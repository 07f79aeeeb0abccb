use super::*;

fn found(names: &[&str]) -> Vec<Found> {
    let one = |name: &&str| Found {
        name: (*name).into(),
        path: format!("/data/{name}.bvh").into(),
    };
    names.iter().map(one).collect()
}

fn file(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

fn label_file(content: &str) -> Result<Vec<Label>> {
    let (_dir, path) = file("labels.csv", content);
    labels(&found(&["a", "b"]), &ClassFrom::File(path.into()))
}

#[test]
fn folders_are_classes_in_the_order_of_their_numbers() {
    let found = found(&["10/a", "2/a", "2/b"]);
    let labels = labels(&found, &ClassFrom::Folder).unwrap();
    let protocol = Protocol {
        test_every: 2,
        ..Default::default()
    };
    let (classes, samples) = samples(&found, &labels, None, &protocol).unwrap();
    assert_eq!(classes.names(), ["2", "10"]);
    assert_eq!((samples[0].class.0, samples[1].class.0), (1, 0));
    assert_eq!(
        (samples[1].role, samples[2].role),
        (SampleRole::Train, SampleRole::Test)
    );
}

#[test]
fn a_pattern_tells_class_and_subject() {
    let found = found(&["x/anna_walk_1", "x/bert_run_1"]);
    let from = ClassFrom::Regex("(?<subject>[a-z]+)_(?<class>[a-z]+)_".into());
    let labels = labels(&found, &from).unwrap();
    let protocol = Protocol {
        train_subjects: vec![1],
        ..Default::default()
    };
    let (classes, samples) = samples(&found, &labels, None, &protocol).unwrap();
    assert_eq!(classes.names(), ["run", "walk"]);
    assert_eq!(
        (samples[0].subject, samples[0].role),
        (Some(1), SampleRole::Train)
    );
    assert_eq!((samples[1].subject, samples[1].role), (Some(2), SampleRole::Test));
}

#[test]
fn a_list_gives_order_and_names() {
    let found = found(&["w/1", "r/1"]);
    let labels = labels(&found, &ClassFrom::Folder).unwrap();
    let (_dir, path) = file("classes.txt", "w\twalk\nr\trun fast\nx\n");
    let (classes, samples) = samples(&found, &labels, Some(&path), &Protocol::default()).unwrap();
    assert_eq!(classes.names(), ["walk", "run fast", "x"]);
    assert_eq!((samples[0].class.0, samples[1].class.0), (0, 1));
}

#[test]
fn a_class_beyond_the_list_is_refused_with_its_file() {
    let found = found(&["wlk/1"]);
    let labels = labels(&found, &ClassFrom::Folder).unwrap();
    let (_dir, path) = file("classes.txt", "walk\nrun\n");
    let text = samples(&found, &labels, Some(&path), &Protocol::default())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("/data/wlk/1.bvh, ") && text.ends_with("did you mean `walk`?"),
        "{text}"
    );
}

#[test]
fn names_without_a_class_are_refused() {
    let text = labels(&found(&["a"]), &ClassFrom::Folder)
        .unwrap_err()
        .to_string();
    assert!(text.contains("/data/a.bvh: lies in no folder"), "{text}");
    let text = labels(&found(&["a"]), &ClassFrom::Regex("_(.+)_".into()))
        .unwrap_err()
        .to_string();
    assert!(text.contains("its name `a` gives no class by `_(.+)_`"), "{text}");
}

#[test]
fn bad_label_files_are_refused_with_their_line() {
    let good = label_file("\u{feff}sample,class,subject\na, walk ,3\nb,run,\n").unwrap();
    assert_eq!(
        (good[0].class.as_str(), good[0].subject.as_deref()),
        ("walk", Some("3"))
    );
    let says = |content: &str, part: &str| {
        let text = label_file(content).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    says("sample,klass\n", "unknown column `class`; did you mean `klass`?");
    says(
        "sample,class\na,walk\na,run\n",
        "line 3: sample `a` was already given",
    );
    says("sample,class\na,walk\n", "unknown sample `b`");
    says("sample,class\na,\n", "line 2: expected a sample and its class");
    says("sample,class\na,walk,3,4\n", "found record with 4 fields");
    says("", "unknown column `sample`");
}

#[test]
fn bad_options_are_listed() {
    let mut problems = Problems::new();
    ClassFrom::Regex("(".into()).validate(&mut problems);
    ClassFrom::Regex("walk".into()).validate(&mut problems);
    ClassFrom::File(FilePath::default()).validate(&mut problems);
    let protocol = Protocol {
        train_subjects: vec![1],
        test_names: Some("[".into()),
        test_every: 1,
    };
    problems.scoped("protocol", |p| protocol.validate(p));
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    let want = [
        "class_from.regex",
        "class_from.regex",
        "class_from.file",
        "protocol.test_every",
        "protocol.test_names",
        "protocol",
    ];
    assert_eq!(fields, want);
}

#[test]
fn every_option_of_every_dataset_is_documented() {
    let all = szar_core::registry::all();
    let datasets: Vec<_> = all
        .iter()
        .filter(|c| c.kind == szar_core::ComponentKind::Dataset)
        .collect();
    assert!(datasets.len() >= 13);
    for component in datasets {
        for field in szar_core::config::fields(component) {
            assert!(field.doc.len() > 10, "{}: {}", component.name, field.name);
        }
    }
}

#[test]
fn every_way_to_find_the_class_can_be_written_in_yaml() {
    let ways = ["folder", "{regex: '_(?<class>[a-z]+)_'}", "{file: labels.csv}"];
    for way in ways {
        let text = format!(
            "dataset: {{type: bvh, root: data, class_from: {way}, split: {{random: {{unseen: 1}}}}}}"
        );
        let found = szar_core::config::load_str(&text, Path::new("/configs/pipeline.yaml"), &[]);
        let Err(Error::Config(problems)) = found else {
            panic!("an encoder is missing, {found:?}");
        };
        let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
        assert!(
            !fields.iter().any(|f| f.starts_with("dataset")),
            "{way}: {problems:?}"
        );
    }
    let wrong = "dataset: {type: bvh, root: data, class_from: {regx: x}, split: {random: {unseen: 1}}}";
    let found = szar_core::config::load_str(wrong, Path::new("/configs/pipeline.yaml"), &[]).unwrap_err();
    assert!(found.to_string().contains("class_from"), "{found}");
}
