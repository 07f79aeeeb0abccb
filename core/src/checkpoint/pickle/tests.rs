//! The machine on pickles written by hand.

use super::*;

fn read(bytes: &[u8]) -> Result<Unpickled, String> {
    unpickle(bytes, 0).map_err(|e| format!("{}, {}: {}", e.byte, e.opcode, e.why))
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).expect_err("refused")
}

/// What the value is made of, in Python's manner.
fn show(read: &Unpickled, id: Id) -> String {
    let heap = &read.heap;
    let all = |ids: &[Id]| {
        let shown: Vec<_> = ids.iter().map(|id| show(read, *id)).collect();
        shown.join(", ")
    };
    match heap.get(id) {
        Value::Int(n) => n.to_string(),
        Value::Float(x) => format!("{x:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::Bytes(bytes) => format!("b{bytes:?}"),
        Value::List(items) => format!("[{}]", all(items)),
        Value::Tuple(items) => format!("({})", all(items)),
        Value::Dict(dict) => {
            let entry = |(k, v): &(Id, Id)| format!("{}: {}", show(read, *k), show(read, *v));
            let entries: Vec<_> = dict.entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.what().into(),
    }
}

fn shown(bytes: &[u8]) -> String {
    let read = read(bytes).expect("plain data");
    assert_eq!(read.end, bytes.len());
    show(&read, read.root)
}

#[test]
fn plain_data_of_every_protocol_is_read() {
    // {'a': [1, 2.5], 'b': (None, True)} of protocols 0, 2 and 4.
    let zero = b"(dp0\nVa\np1\n(lp2\nI1\naF2.5\nasVb\np3\n(NI01\ntp4\ns.";
    let two = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\0\0\0\0\0\0eX\x01\x00\x00\x00bq\x03N\x88\x86q\x04u.";
    let four = b"\x80\x04\x95\x1e\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94(K\x01G@\x04\0\0\0\0\0\0e\x8c\x01b\x94N\x88\x86\x94u.";
    for bytes in [&zero[..], two, four] {
        assert_eq!(shown(bytes), "{'a': [1, 2.5], 'b': (nothing, a truth value)}");
    }
}

#[test]
fn integers_of_all_widths_are_read() {
    assert_eq!(
        shown(b"(K\xffM\xff\xffJ\xfe\xff\xff\xff\x8a\x00\x8a\x01\xff\x8a\x02\x00\x01\x8b\x02\0\0\0\xff\x7fL-7L\nt."),
        "(255, 65535, -2, 0, -1, 256, 32767, -7)"
    );
    assert_eq!(shown(b"\x8a\x09\0\0\0\0\0\0\0\0\x01."), "a number");
}

#[test]
fn texts_of_all_kinds_are_read() {
    let text = b"(S'a\\'b\\x41'\nV\\u00e9\nU\x02\xc3\xa9U\x01\xe9T\x01\0\0\0z\x8d\x01\0\0\0\0\0\0\0wt.";
    assert_eq!(shown(text), "('a'bA', '\u{e9}', '\u{e9}', '\u{e9}', 'z', 'w')");
    assert_eq!(
        shown(b"(C\x01aB\x01\0\0\0b\x96\x01\0\0\0\0\0\0\0ct."),
        "(b[97], b[98], b[99])"
    );
    assert_eq!(
        shown(b"c_codecs\nencode\n(X\x02\0\0\0\xc3\xa9X\x06\0\0\0latin1tR."),
        "b[233]"
    );
}

#[test]
fn the_memo_and_the_stack_work_as_pythons() {
    assert_eq!(shown(b"(Va\np0\ng0\n2t."), "('a', 'a', 'a')");
    assert_eq!(shown(b"(\x8c\x01a\x94K\x010h\x00t."), "('a', 'a')");
    assert_eq!(shown(b"K\x05(K\x01K\x021."), "5");
}

#[test]
fn dicts_of_all_classes_are_dicts() {
    let pairs = b"ccollections\nOrderedDict\n(((Va\nI1\ntltR}b.";
    assert_eq!(shown(pairs), "{'a': 1}");
    assert_eq!(shown(b"ccollections\nOrderedDict\n)R(Va\nI1\nu."), "{'a': 1}");
    assert_eq!(shown(b"ccollections\nCounter\n((dI3\nI1\nstR."), "{3: 1}");
    assert_eq!(
        shown(b"ccollections\ndefaultdict\n(c__builtin__\ndict\ntRVa\nI1\ns."),
        "{'a': 1}"
    );
    let attributes = b"cpytorch_lightning.utilities.parsing\nAttributeDict\n)\x81Vlr\nF0.1\ns.";
    assert_eq!(shown(attributes), "{'lr': 0.1}");
}

#[test]
fn numpy_scalars_and_arrays_are_plain_data() {
    let dtype = "cnumpy\ndtype\n(Vf8\nI00\nI01\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntb";
    let scalar = format!("cnumpy.core.multiarray\nscalar\n({dtype}C\x08\0\0\0\0\0\0\0\0tR.");
    assert_eq!(shown(scalar.as_bytes()), "a number");
    let array = format!(
        "cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR(I1\n(I1\nt{dtype}I00\nC\x08\0\0\0\0\0\0\0\0tb."
    );
    assert_eq!(shown(array.as_bytes()), "an array");
}

#[test]
fn names_beyond_the_list_are_refused_where_they_stand() {
    let nothing = "which no state_dict needs; nothing of the file was run";
    assert_eq!(
        refusal(b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R."),
        format!("2, GLOBAL: asks for `posix.system`, {nothing}")
    );
    assert_eq!(
        refusal(b"\x80\x04\x8c\x05posix\x8c\x06system\x93."),
        format!("17, STACK_GLOBAL: asks for `posix.system`, {nothing}")
    );
    assert_eq!(
        refusal(b"(Vls\nios\nsystem\n."),
        format!("5, INST: asks for `os.system`, {nothing}")
    );
    for name in [
        "builtins\neval",
        "builtins\ngetattr",
        "__builtin__\nexec",
        "torch\nload",
        "torch.storage\n_load_from_bytes",
        "torch\n_utils._rebuild_tensor_v2",
        "numpy\nload",
        "torch.jit\nload",
    ] {
        let error = refusal(format!("c{name}\n.").as_bytes());
        assert!(
            error.contains(&format!("`{}`", name.replace('\n', "."))),
            "{error}"
        );
    }
}

#[test]
fn control_characters_of_a_name_are_shown_as_escapes() {
    let error = refusal(b"c\x1b[2Jx\ny\n.");
    assert!(error.contains(r"`\u{1b}[2Jx.y`"), "{error}");
    let error = refusal(format!("c{}\ny\n.", "x".repeat(5000)).as_bytes());
    assert!(error.len() < 300, "{error}");
}

#[test]
fn opcodes_of_code_and_of_other_streams_are_refused() {
    let cases: [(&[u8], &str); 7] = [
        (b"P1\n.", "PERSID"),
        (b"(c__builtin__\nint\no.", "OBJ"),
        (b"\x82\x01.", "EXT1"),
        (b"\x84\x01\0\0\0.", "EXT4"),
        (b"c__builtin__\nint\n)}\x92.", "NEWOBJ_EX"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\xff.", "opcode 0xff"),
    ];
    for (bytes, name) in cases {
        assert!(refusal(bytes).contains(name), "{}", refusal(bytes));
    }
}

#[test]
fn only_functions_of_the_list_are_called() {
    assert!(refusal(b"c__builtin__\nint\n(tR.").contains("REDUCE: calls a name that is only mentioned"));
    assert!(refusal(b"ctorch\nFloatStorage\n(tR.").contains("only mentioned"));
    assert!(refusal(b"I1\n(tR.").contains("REDUCE: calls a number"));
    assert!(refusal(b"c__builtin__\nint\n)\x81.").contains("NEWOBJ: an object of a name"));
    assert!(refusal(b"I1\n}b.").contains("BUILD: attributes for a number"));
    let of_type = b"ctorch._tensor\n_rebuild_from_type_v2\n(c_codecs\nencode\nN(Va\nt}tR.";
    assert!(refusal(of_type).contains("a tensor made by a name"));
}

#[test]
fn other_persistent_ids_are_refused() {
    let error = refusal(b"(Vmodule\nNVfile\nVsource\ntQ.");
    assert!(
        error.contains("BINPERSID: a persistent id of kind `module`, expected `storage`"),
        "{error}"
    );
    assert!(refusal(b"I1\nQ.").contains("a persistent id that is no storage"));
    let negative = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI-1\ntQ.";
    assert!(refusal(negative).contains("a storage of negative size"));
    let unknown = b"(Vstorage\nc__builtin__\nint\nV0\nVcpu\nI1\ntQ.";
    assert!(refusal(unknown).contains("a storage of no known element type"));
}

#[test]
fn values_in_themselves_and_keys_that_stand_twice_are_refused() {
    assert!(refusal(b"]q\x00h\x00a.").contains("a list contains itself"));
    assert!(refusal(b"}q\x00Va\nh\x00s.").contains("a dict contains itself"));
    assert!(refusal(b"}(Va\nI1\nVa\nI2\nu.").contains("SETITEMS: key `a` stands twice"));
    assert!(refusal(b"}(I1\nI1\nI1\nI2\nu.").contains("stands twice"));
    assert!(refusal(b"}]I1\ns.").contains("a list as a key"));
}

#[test]
fn depth_is_bounded_and_shared_values_cost_nothing() {
    let deep = |levels: usize| [vec![b']'; levels], vec![b'a'; levels - 1], vec![b'.']].concat();
    assert!(read(&deep(200)).is_ok());
    assert!(refusal(&deep(201)).contains("more than 200 deep"));
    // 2^100 leaves if it were written out.
    let mut doubled = b"]".to_vec();
    for _ in 0..100 {
        doubled.extend_from_slice(b"q\x00h\x00\x86");
    }
    doubled.push(b'.');
    assert!(read(&doubled).is_ok());
}

#[test]
fn the_same_values_are_not_copied_over_and_over() {
    // A text of 64 kB, made into bytes ten thousand times.
    let mut bytes = b"c_codecs\nencode\nq\x00X\0\0\x01\x00".to_vec();
    bytes.extend_from_slice(&[b'a'; 1 << 16]);
    bytes.extend_from_slice(b"\x85q\x010");
    for _ in 0..10_000 {
        bytes.extend_from_slice(b"h\x00h\x01R0");
    }
    bytes.extend_from_slice(b"N.");
    assert!(refusal(&bytes).contains("REDUCE: the same values are copied over and over"));
}

#[test]
fn what_ends_too_early_says_so() {
    assert!(refusal(b"").contains("the file ends"));
    assert!(refusal(b"X\x05\0\0\0abc").contains("5 bytes wanted, 3 left"));
    assert!(refusal(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff").contains("the file ends"));
    assert!(refusal(b"cposix").contains("in the middle of a line"));
    assert!(refusal(b"K\x01").contains("the file ends"));
    assert!(refusal(b".").contains("nothing is on the stack"));
    assert!(refusal(b"K\x01K\x02.").contains("1 values are left over"));
    assert!(refusal(b"K\x01(0(.").contains("nothing is on the stack"));
    assert!(refusal(b"t.").contains("no mark"));
    assert!(refusal(b"h\x07.").contains("memo 7 was never written"));
    assert!(refusal(b"\x80\x06N.").contains("protocol 6"));
}
