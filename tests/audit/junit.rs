//! Claim: `--junit` writes what an audit found as CI systems read it: well-formed whatever names are in it, a case for each
//! tensor, counts that are right, a message where something is wrong; and what cannot be written is refused before the work.

use crate::common::Place;
use crate::recording::{Recording, path};
use quick_xml::events::Event;
use quick_xml::{Reader, XmlVersion};
use vit_mae::audit::parity::{Verdict, compare};

const SMALL: &str = "own/mae_one.f64";

/// Name, verdict and message of every test case of a JUnit report, by suite; the counts that it gives are right.
fn junit(place: &Place, name: &str) -> Vec<(String, String, Option<String>)> {
    let text = place.text(name);
    let mut reader = Reader::from_str(&text);
    let (mut cases, mut counted, mut root) = (Vec::new(), [0; 3], None);
    loop {
        let event = reader.read_event().expect("well-formed XML");
        let (Event::Start(element) | Event::Empty(element)) = event else {
            if event == Event::Eof {
                break;
            }
            continue;
        };
        let attribute = |name: &str| {
            element
                .try_get_attribute(name)
                .unwrap()
                .map(|a| a.normalized_value(XmlVersion::Explicit1_0).unwrap().into_owned())
        };
        let number = |name: &str| attribute(name).unwrap().parse::<usize>().unwrap();
        let counts = || ["tests", "failures", "errors"].map(number);
        match element.name().as_ref() {
            "testsuites" => root = Some(counts()),
            "testsuite" => {
                counted.iter_mut().zip(counts()).for_each(|(all, one)| *all += one);
                assert!(attribute("time").unwrap().parse::<f64>().unwrap() >= 0.0);
            }
            "testcase" => cases.push((attribute("classname").unwrap(), attribute("name").unwrap(), None)),
            "failure" | "error" => cases.last_mut().unwrap().2 = attribute("message"),
            other => panic!("{other}"),
        }
    }
    let bad = cases.iter().filter(|case| case.2.is_some()).count();
    assert_eq!(root, Some(counted));
    assert_eq!((counted[0], counted[1] + counted[2]), (cases.len(), bad));
    cases
}

#[test]
fn a_junit_report_has_a_case_for_each_tensor_and_says_what_is_wrong() {
    let place = Place::new();
    let mut recording = Recording::open(SMALL);
    recording.tensors.remove("gact.latent").unwrap();
    let value = recording.values("loss")[0];
    recording.set("loss", 0, value + 1.0);
    place.write("a <&> \"b\".safetensors", recording.bytes());
    place.write("bad\u{1b}.safetensors", "nothing");
    let args = [
        "audit",
        "parity",
        "--junit",
        "report.xml",
        &path(SMALL),
        "a <&> \"b\".safetensors",
        "bad\u{1b}.safetensors",
    ];
    assert_eq!(place.run(&args).status.code(), Some(2));
    let cases = junit(&place, "report.xml");
    let good = compare(path(SMALL).as_ref()).unwrap();
    let of = |suite: &str| cases.iter().filter(|case| case.0 == suite).collect::<Vec<_>>();
    let sound = of(&path(SMALL));
    assert_eq!(sound.len(), good.count(Verdict::Ok));
    assert!(sound.iter().all(|case| case.2.is_none()));
    let message = |name: &str| {
        let case = of("a <&> \"b\".safetensors").into_iter().find(|case| case.1 == name).unwrap().clone();
        case.2.unwrap_or_default()
    };
    assert!(message("loss").starts_with("DIFFERS") && message("gact.latent").starts_with("MISSING"));
    assert_eq!(message("mask"), "");
    let bad: Vec<_> = cases.iter().filter(|case| case.0.starts_with("bad")).collect();
    assert!(bad.len() == 1 && bad[0].2.as_ref().unwrap().contains("safetensors"), "{bad:?}");

    // Written over by the next one, here of gradients.
    place.done(&["audit", "gradcheck", "--layer", "linear", "--junit", "report.xml"]);
    let cases = junit(&place, "report.xml");
    assert!(cases.iter().any(|case| case.0.contains("gradient") && case.1 == "weight"), "{cases:?}");
    place.done(&[
        "audit",
        "gradcheck",
        "--config",
        "tiny.toml",
        "--layer",
        "norm",
        "--directions",
        "2",
        "--junit",
        "report.xml",
    ]);
    assert_eq!(junit(&place, "report.xml").len(), 2);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_work() {
    let place = Place::new();
    let recording = path(SMALL);
    place.write("folder.xml/file", "");
    for report in ["report.json", "nowhere/report.xml", "folder.xml", "tiny.toml"] {
        place.refused(&["audit", "parity", &recording, "--junit", report], &["--junit", report]);
        place.refused(&["audit", "gradcheck", "--junit", report], &["--junit", report]);
    }
    let output = place.run(&["audit", "parity", &recording, "--junit", "/proc/report.xml"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{message}");
    assert!(message.starts_with("error: cannot write /proc/report.xml"), "{message}");
}
