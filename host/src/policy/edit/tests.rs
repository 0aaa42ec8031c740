//! Edits of policy files: examples, and random files under random changes against a model.

use super::*;
use crate::policy::Key;
use proptest::prelude::*;

fn setting(key: Key, value: &str) -> Setting {
    Setting::read(key, value).expect("a value")
}

fn level(n: &str) -> Vec<Setting> {
    vec![setting(Key::Level, n)]
}

const FILE: &str = "\
# Ours.
compression_policy:
  # Weights hardly shrink.
  model_weights:
    algorithm: zstd   # the product's own
    level: '3'

  subtitle: {algorithm: lz4, level: 0}  # small
  notes:
# The end.
";

/// What `change` does to `text`, as the lines that differ.
fn diff(text: &str, change: &Change) -> String {
    let edited = edit(text, change).expect("an edit");
    let (old, new): (Vec<&str>, Vec<&str>) = (text.lines().collect(), edited.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let minus = old[head..old.len() - tail].iter().map(|l| format!("-{l}\n"));
    minus.chain(new[head..new.len() - tail].iter().map(|l| format!("+{l}\n"))).collect()
}

#[test]
fn only_what_changes_changes() {
    let file = FILE.replace("'3'", "3");
    let set = |name: &str, settings| Change::Set(name.into(), settings);
    assert_eq!(diff(&file, &set("model_weights", level("2"))), "-    level: 3\n+    level: 2\n");
    let gzip = vec![setting(Key::Algorithm, "gzip")];
    assert_eq!(
        diff(&file, &set("model_weights", gzip)),
        "-    algorithm: zstd   # the product's own\n+    algorithm: gzip   # the product's own\n"
    );
    assert_eq!(diff(&file, &set("model_weights", vec![setting(Key::Parity, "5")])), "+    parity: 5\n");
    assert_eq!(
        diff(&file, &set("subtitle", vec![setting(Key::Level, "9"), setting(Key::Priority, "low")])),
        "-  subtitle: {algorithm: lz4, level: 0}  # small\n+  subtitle: {algorithm: lz4, level: 9, priority: low}  # small\n"
    );
    assert_eq!(diff(&file, &set("notes", level("1"))), "+    level: 1\n");
    assert_eq!(diff(&file, &set("images", level("1"))), "+  images:\n+    level: 1\n");
    assert_eq!(diff(&file, &Change::Remove("notes".into())), "-  notes:\n");
    assert_eq!(
        diff(&file, &Change::Remove("model_weights".into())),
        "-  model_weights:\n-    algorithm: zstd   # the product's own\n-    level: 3\n"
    );
    let replaced = Change::Replace("model_weights".into(), vec![setting(Key::Priority, "high")]);
    assert_eq!(
        diff(&file, &replaced),
        "-    algorithm: zstd   # the product's own\n-    level: 3\n+    priority: high\n"
    );
}

#[test]
fn files_begin_with_nothing() {
    let change = Change::Set("a".into(), level("1"));
    let entry = "compression_policy:\n  a:\n    level: 1\n";
    assert_eq!(edit("", &change).as_deref(), Ok(entry));
    assert_eq!(edit("# mine", &change), Ok(format!("# mine\n{entry}")));
    assert_eq!(
        edit("compression_policy: {}\n", &change).as_deref(),
        Ok("compression_policy: {a: {level: 1}}\n")
    );
    assert_eq!(
        edit("compression_policy:  # none yet\n", &change).as_deref(),
        Ok("compression_policy:  # none yet\n  a:\n    level: 1\n")
    );
    assert_eq!(
        edit("compression_policy: ~", &change).as_deref(),
        Ok("compression_policy: \n  a:\n    level: 1")
    );
    let windows = edit("compression_policy:\r\n  b:\r\n    level: 2\r\n", &change).expect("an edit");
    assert_eq!(windows, "compression_policy:\r\n  b:\r\n    level: 2\r\n  a:\r\n    level: 1\r\n");
    let bom = edit("\u{feff}compression_policy:\n  b:\n    level: 2\n", &change).expect("an edit");
    assert!(bom.ends_with("  a:\n    level: 1\n"), "{bom}");
}

#[test]
fn types_stay_as_far_apart_as_they_were() {
    let text = "compression_policy:\n  a:\n    level: 1\n\n  b:\n    level: 2\n";
    let edited = edit(text, &Change::Set("c".into(), level("3"))).expect("an edit");
    assert_eq!(edited, format!("{text}\n  c:\n    level: 3\n"));
    assert_eq!(edit(&edited, &Change::Remove("c".into())).as_deref(), Ok(text));
    let gone = edit(&edited, &Change::Remove("b".into())).expect("an edit");
    assert_eq!(gone, "compression_policy:\n  a:\n    level: 1\n\n  c:\n    level: 3\n");
}

#[test]
fn what_has_mistakes_or_is_strange_is_left_alone() {
    let change = Change::Set("a".into(), level("1"));
    let e = edit("compression_policy:\n  a:\n    levle: 1\n", &change).expect_err("a mistake");
    assert!(e.contains("line 3") && e.contains("mend that first"), "{e}");
    assert!(
        edit("? compression_policy\n:\n  a:\n    level: 3\n", &Change::Remove("a".into()))
            .is_ok_and(|t| !t.contains("level"))
    );
    assert!(edit("compression_policy:\n  ? a\n  : level: 2\n", &Change::Set("a".into(), level("1"))).is_ok());
    let e = edit("compression_policy:\n  a: 3\n", &change).expect_err("a mistake");
    assert!(e.contains("wants keys"), "{e}");
}

/// A type with keys, and how it is written.
#[derive(Clone, Debug)]
struct Written {
    keys: Vec<(Key, usize)>,
    comments: Vec<u8>,
    is_flow: bool,
}

const KEYS: [(Key, [&str; 3]); 4] = [
    (Key::Level, ["1", "-3", "default"]),
    (Key::Priority, ["high", "low", "medium"]),
    (Key::ChunkSize, ["1MB", "512KB", "4097"]),
    (Key::AutoCompress, ["yes", "no", "true"]),
];

fn written() -> impl Strategy<Value = Written> {
    let keys = prop::collection::btree_map(0..KEYS.len(), 0..3_usize, 0..4);
    (keys, prop::collection::vec(0..4_u8, 8), any::<bool>()).prop_map(|(keys, comments, is_flow)| Written {
        keys: keys.into_iter().map(|(k, v)| (KEYS[k].0, v)).collect(),
        comments,
        is_flow,
    })
}

fn value(key: Key, which: usize) -> &'static str {
    KEYS.iter().find(|(k, _)| *k == key).expect("a key").1[which]
}

/// A file of these types, with comments and blank lines strewn in.
fn file(types: &[Written], indent: usize, newline: &str) -> String {
    let mut lines = vec!["# head".to_owned(), "compression_policy:  # root".to_owned()];
    let pad = " ".repeat(indent);
    for (n, written) in types.iter().enumerate() {
        let mut comments = written.comments.iter().cycle();
        let mut comment = |lines: &mut Vec<String>| match comments.next() {
            Some(0) => lines.push(String::new()),
            Some(1) => lines.push(format!("{pad}# about {n}")),
            _ => {}
        };
        comment(&mut lines);
        let pairs: Vec<String> =
            written.keys.iter().map(|(k, v)| format!("{k}: {}", value(*k, *v))).collect();
        if written.is_flow {
            lines.push(format!("{pad}t{n}: {{{}}}  # in a line", pairs.join(" , ")));
            continue;
        }
        lines.push(format!("{pad}t{n}:"));
        for pair in pairs {
            comment(&mut lines);
            lines.push(format!("{pad}{pad}{pair}  # why"));
        }
    }
    lines.join(newline) + newline
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let settings = prop::collection::btree_map(0..KEYS.len(), 0..3_usize, 0..4).prop_map(|settings| {
        let read = |(k, v): (usize, usize)| Setting::read(KEYS[k].0, KEYS[k].1[v]).expect("a value");
        settings.into_iter().map(read).collect::<Vec<_>>()
    });
    let name = (0..6_u8).prop_map(|n| format!("t{n}"));
    let change = (0..3_u8, name, settings).prop_map(|(what, name, settings)| match what {
        0 => Change::Set(name, settings),
        1 => Change::Replace(name, settings),
        _ => Change::Remove(name),
    });
    prop::collection::vec(change, 1..8)
}

/// Lines of comments, which no edit may lose; within an entry that goes they go with it.
fn outside(text: &str) -> Vec<String> {
    text.lines().filter(|l| l.starts_with('#') || l.contains("# root")).map(str::to_owned).collect()
}

proptest! {
    #[test]
    fn random_changes_mean_what_they_say_and_touch_nothing_else(
        types in prop::collection::vec(written(), 0..4),
        indent in 1..5_usize,
        is_windows in any::<bool>(),
        changes in changes(),
    ) {
        let mut text = file(&types, indent, if is_windows { "\r\n" } else { "\n" });
        for change in changes {
            let model = meaning(&text).expect("well-formed");
            if let Change::Remove(name) = &change
                && !model.iter().any(|(n, _)| n == name)
            {
                prop_assert!(edit(&text, &change).is_err());
                continue;
            }
            let edited = edit(&text, &change).map_err(|e| TestCaseError::fail(format!("{e}\n{change:?}\n{text}")))?;
            prop_assert_eq!(meaning(&edited).expect("well-formed"), changed(model, &change));
            prop_assert_eq!(outside(&edited), outside(&text));
            if matches!(change, Change::Set(..)) {
                let comments = |text: &str| text.lines().filter(|l| l.contains('#')).count();
                prop_assert_eq!(comments(&edited), comments(&text), "{:?}", change);
            }
            // All lines but those of the type that was changed stand there as they did, in order.
            let others = |text: &str| others(text, &change);
            prop_assert_eq!(others(&edited), others(&text), "{:?}\n{}\n{}", change, text, edited);
            text = edited;
        }
    }

    #[test]
    fn mutated_files_are_edited_rightly_or_refused(at in 0..FILE.len(), byte in " -~", len in 0..4_usize) {
        let end = (at + len).min(FILE.len());
        let text = format!("{}{byte}{}", &FILE[..at], &FILE[end..]);
        for change in [Change::Set("subtitle".into(), level("9")), Change::Remove("model_weights".into())] {
            if let Ok(edited) = edit(&text, &change) {
                prop_assert_eq!(meaning(&edited).expect("whole"), changed(meaning(&text).expect("whole"), &change));
            }
        }
    }
}

/// The lines of a file that are not of the entry that `change` is about, blank lines aside.
fn others(text: &str, change: &Change) -> Vec<String> {
    let (Change::Set(name, _) | Change::Replace(name, _) | Change::Remove(name)) = change;
    let mut is_inside = false;
    let mut kept = Vec::new();
    for line in text.split('\n') {
        let word = line.trim_start();
        let is_type = word.starts_with('t') && word[1..].starts_with(|c: char| c.is_ascii_digit());
        if is_type {
            is_inside = word.starts_with(&format!("{name}:"));
        }
        let is_comment = word.starts_with('#') || word.trim().is_empty();
        if !is_inside && !is_comment {
            kept.push(line.to_owned());
        }
    }
    kept
}
