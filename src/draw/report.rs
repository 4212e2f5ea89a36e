//! `report.html`: one run on one page, self-contained, readable in light and dark and on a phone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// The page, with `{{name}}` where content goes.
const TEMPLATE: &str = include_str!("report/template.html");

/// What the page shows. All text is plain text; escaping happens here.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// Name and value of the numbers at the top: the final loss beside those of trivial predictors,
    /// images per second, wall time, parameters.
    pub summary: Vec<(String, String)>,
    /// The settings as resolved, shown as a table.
    pub settings_toml: String,
    /// Caption and SVG of each curve, from [`crate::draw::plot`].
    pub curves: Vec<(String, String)>,
    /// The heading over the sheets.
    pub sheets_heading: String,
    /// Caption and PNG bytes of each sheet of pictures.
    pub sheets: Vec<(String, Vec<u8>)>,
    /// Remarks: what is special about the run, the images that were skipped.
    pub notes: Vec<String>,
    /// The command that runs it again.
    pub command: String,
}

impl Report {
    /// The page's text.
    #[must_use]
    pub fn to_html(&self) -> String {
        fill(TEMPLATE, |name| match name {
            "title" => escape(&self.title),
            "summary" => self.summary_cards(),
            "curves" => self.curves(),
            "sheets" => self.sheet_figures(),
            "notes" => self.note_list(),
            "settings" => self.settings(),
            "command" => section("Reproduce", &code(&self.command)),
            _ => String::new(),
        })
    }

    fn summary_cards(&self) -> String {
        let card = |(name, value): &(String, String)| {
            format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value))
        };
        self.summary.iter().map(card).collect()
    }

    fn curves(&self) -> String {
        let figure = |(caption, svg): &(String, String)| {
            let caption = escape(caption);
            format!("<figure class=\"plot\"><figcaption>{caption}</figcaption><div>{svg}</div></figure>\n")
        };
        section("Curves", &self.curves.iter().map(figure).collect::<String>())
    }

    fn sheet_figures(&self) -> String {
        let figure = |(caption, png): &(String, Vec<u8>)| {
            let (caption, data) = (escape(caption), STANDARD.encode(png));
            format!(
                "<figure class=\"sheet\"><figcaption>{caption}</figcaption>\
                 <img alt=\"{caption}\" src=\"data:image/png;base64,{data}\"></figure>\n"
            )
        };
        section(&escape(&self.sheets_heading), &self.sheets.iter().map(figure).collect::<String>())
    }

    fn note_list(&self) -> String {
        if self.notes.is_empty() {
            return String::new();
        }
        let items: Vec<String> =
            self.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
        section("Notes", &format!("<ul>\n{}</ul>\n", items.concat()))
    }

    /// One table, with a heading row for each table of the TOML; text that is no TOML is shown as it is.
    fn settings(&self) -> String {
        let body = match self.settings_toml.parse::<toml::Table>() {
            Ok(table) if table.is_empty() => String::new(),
            Ok(table) => {
                let mut rows = String::new();
                setting_rows(&mut rows, "", &table);
                format!("<div class=\"scroll\"><table>\n{rows}</table></div>\n")
            }
            Err(_) => code(&self.settings_toml),
        };
        section("Settings", &body)
    }
}

/// The plain values of a table first, then its tables, each under its dotted name.
fn setting_rows(rows: &mut String, name: &str, table: &toml::Table) {
    if !name.is_empty() && table.values().any(|value| !value.is_table()) {
        let _ = writeln!(rows, "<tr><th colspan=\"2\" scope=\"rowgroup\">{}</th></tr>", escape(name));
    }
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(rows, "<tr><td>{}</td><td>{}</td></tr>", escape(key), escape(&value));
    }
    for (key, value) in table {
        if let Some(inner) = value.as_table() {
            let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            setting_rows(rows, &dotted, inner);
        }
    }
}

/// A section under a heading; nothing at all without content.
fn section(heading: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{heading}</h2>\n{body}</section>\n")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<pre><code>{}</code></pre>\n", escape(text)) }
}

/// Replaces each `{{name}}` once; content is never searched for names again.
pub(crate) fn fill(template: &str, content: impl Fn(&str) -> String) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        page.push_str(before);
        page.push_str(&content(name));
        rest = after;
    }
    page + rest
}

/// Text as HTML text or as the value of a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
