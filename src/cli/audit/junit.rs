//! `--junit FILE`: what an audit found in the form that CI systems read, one test case a tensor.

use crate::cli::visible;
use quick_xml::Writer;
use quick_xml::events::BytesText;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vit_mae::base::out_file::check_out_file;
use vit_mae::checkpoint::atomic::{check_writable, write_atomic};
use vit_mae::{Error, Result};

/// Where the report goes.
pub(super) struct JUnit(PathBuf);

/// Cases that were computed together.
pub(super) struct Suite {
    /// A check, a model or a recording.
    name: String,
    /// What all cases took together.
    took: Duration,
    cases: Vec<Case>,
}

/// A tensor, or what else has a verdict of its own.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) verdict: Verdict,
}

/// What became of a case, in words where it is not well.
pub(super) enum Verdict {
    Passed,
    /// Checked and found wrong.
    Failed(String),
    /// Could not be checked.
    Error(String),
}

impl Suite {
    /// A suite; one without cases is an error, as nothing is no proof.
    pub(super) fn new(name: String, took: Duration, mut cases: Vec<Case>) -> Self {
        if cases.is_empty() {
            let verdict = Verdict::Error("there was nothing to check".to_owned());
            cases.push(Case { name: "anything".to_owned(), verdict });
        }
        Self { name, took, cases }
    }
}

impl Verdict {
    /// Passed, or failed with a message.
    pub(super) fn of(passed: bool, message: impl FnOnce() -> String) -> Self {
        if passed { Self::Passed } else { Self::Failed(message()) }
    }
}

impl JUnit {
    /// None if no report is asked for. An earlier report is replaced, as CI systems expect it.
    ///
    /// # Errors
    /// Before the work begins, if the file cannot be written.
    pub(super) fn new(path: Option<&Path>) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        check_out_file("--junit", path, &["xml"], true)?;
        check_writable(path)?;
        Ok(Some(Self(path.to_path_buf())))
    }

    /// Writes the report, whole or not at all.
    ///
    /// # Errors
    /// If the disk refuses it.
    pub(super) fn write(&self, audit: &str, suites: &[Suite]) -> Result<()> {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        document(&mut writer, audit, suites).map_err(Error::write(&self.0))?;
        write_atomic(&self.0, &writer.into_inner())
    }
}

fn document(writer: &mut Writer<Vec<u8>>, audit: &str, suites: &[Suite]) -> io::Result<()> {
    writer.get_mut().extend(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let took = suites.iter().map(|suite| suite.took).sum();
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    let root = writer.create_element("testsuites").with_attribute(("name", audit));
    let root = root.with_attributes(counts(all).iter().map(pair)).with_attribute(("time", &*seconds(took)));
    root.write_inner_content(|writer| suites.iter().try_for_each(|suite| write_suite(writer, suite)))?;
    writer.get_mut().push(b'\n');
    Ok(())
}

fn write_suite(writer: &mut Writer<Vec<u8>>, suite: &Suite) -> io::Result<()> {
    let name = text(&suite.name);
    let element = writer.create_element("testsuite").with_attribute(("name", &*name));
    let element = element.with_attributes(counts(|| suite.cases.iter()).iter().map(pair));
    // Cases are computed together. An even part for each lets the readers that add them up come to the right sum.
    let each = seconds(suite.took / u32::try_from(suite.cases.len().max(1)).unwrap_or(u32::MAX));
    let inner = element.with_attribute(("time", &*seconds(suite.took))).write_inner_content(|writer| {
        suite.cases.iter().try_for_each(|case| write_case(writer, (&name, &each), case))
    });
    inner.map(drop)
}

fn write_case(writer: &mut Writer<Vec<u8>>, (suite, time): (&str, &str), case: &Case) -> io::Result<()> {
    let name = text(&case.name);
    let element = writer.create_element("testcase");
    let element = element.with_attributes([("classname", suite), ("name", &name), ("time", time)]);
    let (kind, message) = match &case.verdict {
        Verdict::Passed => return element.write_empty().map(drop),
        Verdict::Failed(message) => ("failure", text(message)),
        Verdict::Error(message) => ("error", text(message)),
    };
    let inner = element.write_inner_content(|writer| {
        let element = writer.create_element(kind).with_attribute(("message", &*message));
        element.write_text_content(BytesText::new(&message)).map(drop)
    });
    inner.map(drop)
}

/// How many cases there are, and how many of them are not well.
fn counts<'a, I: Iterator<Item = &'a Case>>(cases: impl Fn() -> I) -> [(&'static str, String); 3] {
    let number = |is: fn(&Verdict) -> bool| cases().filter(|case| is(&case.verdict)).count().to_string();
    [
        ("tests", number(|_| true)),
        ("failures", number(|verdict| matches!(verdict, Verdict::Failed(_)))),
        ("errors", number(|verdict| matches!(verdict, Verdict::Error(_)))),
    ]
}

fn pair<'a>((name, value): &'a (&'static str, String)) -> (&'a str, &'a str) {
    (name, value)
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Text without what XML has no way to write, which is escaped as in messages.
fn text(text: &str) -> String {
    visible(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
