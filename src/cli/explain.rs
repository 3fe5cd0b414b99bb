use super::print;
use crate::config::nearest;
use crate::domain::finding::{FindingCode, Severity};
use crate::error::{Code, Error, Exit, Result};

/// Explains a code of an error or a finding: what it means, why it matters, what to do
///
/// The pages are those of runbooks/errors/ in kferry's repository, and are part of the binary. Without a code, all of them are listed.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry explain KF-PRE-SHORT-RETENTION\n  kferry explain --list")]
pub struct Args {
    /// The code, as precheck or an error shows it; `KF-` may be left out, and case does not count
    #[arg(value_name = "CODE", conflicts_with = "list")]
    code: Option<String>,
    /// Lists every code with its title
    #[arg(long)]
    list: bool,
}

/// What precedes every code.
const PREFIX: &str = "KF-";
/// Codes that an error message offers at most.
const OFFERED_MAX: usize = 5;

/// One code with its page, which begins with a line `# CODE: TITLE`.
struct Page {
    code: &'static str,
    /// An error's exit code, or a finding's severity.
    kind: String,
    text: &'static str,
}

impl Page {
    fn title(&self) -> &'static str {
        self.text.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, title)| title)
    }
}

pub fn run(args: Args) -> Result<Exit> {
    print(match args.code {
        Some(code) => explained(&code)?.to_owned(),
        None => list(),
    }
    .trim_end());
    Ok(Exit::Done)
}

/// Every page, in the tables' order: errors, then what precheck finds.
fn pages() -> impl Iterator<Item = Page> {
    let errors = Code::ALL.iter().map(|c| Page { code: c.as_str(), kind: format!("exit {}", c.exit() as u8), text: c.page() });
    // A code that is both has one page, and stands among the errors.
    let findings = FindingCode::ALL.iter().filter(|finding| !Code::ALL.iter().any(|code| code.as_str() == finding.as_str()));
    errors.chain(findings.map(|c| Page { code: c.as_str(), kind: severity(c.severity()).to_owned(), text: c.page() }))
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocker => "blocker",
        Severity::Warning => "warning",
        Severity::Information => "note",
    }
}

/// The page of a code.
///
/// **Errors**: KF-USAGE where there is none, with those that may be meant.
fn explained(given: &str) -> Result<&'static str> {
    let wanted = given.trim().to_ascii_uppercase();
    let wanted = wanted.strip_prefix(PREFIX).unwrap_or(&wanted);
    let without_prefix = |page: &Page| page.code.strip_prefix(PREFIX) == Some(wanted);
    if let Some(page) = pages().find(without_prefix) {
        return Ok(page.text);
    }
    // A part of a code says more than its distance does.
    let codes: Vec<&str> = pages().map(|page| page.code).collect();
    let mut meant: Vec<&str> = codes.iter().copied().filter(|code| wanted.len() > 2 && code.contains(wanted)).collect();
    if meant.is_empty() {
        meant.extend(nearest(&format!("{PREFIX}{wanted}"), &codes));
    }
    let hint = match meant.len() {
        0 => "`kferry explain` lists all codes".to_owned(),
        n if n > OFFERED_MAX => format!("{n} codes have that in them: {}, …; `kferry explain` lists all", meant[..OFFERED_MAX].join(", ")),
        _ => format!("did you mean {}?", meant.join(" or ")),
    };
    Err(Error::new(Code::UsageInvalid, format!("there is no code {given:?}; {hint}")))
}

fn list() -> String {
    let width = pages().map(|page| page.code.len()).max().unwrap_or(0);
    let line = |page: Page| format!("{:<width$}  {:<8}  {}\n", page.code, page.kind, page.title());
    pages().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_and_listed_with_its_title() {
        let list = list();
        let lines: Vec<&str> = list.lines().collect();
        assert_eq!(lines.len(), pages().count());
        for (page, line) in pages().zip(lines) {
            assert_eq!(explained(page.code).unwrap(), page.text);
            assert!(page.text.starts_with(&format!("# {}: ", page.code)), "{}", page.code);
            assert!(page.title().len() > 5 && line.starts_with(page.code) && line.ends_with(page.title()), "{line}");
        }
        for code in Code::ALL.iter().map(|c| c.as_str()).chain(FindingCode::ALL.iter().map(|c| c.as_str())) {
            assert_eq!(pages().filter(|page| page.code == code).count(), 1, "{code}");
        }
    }

    #[test]
    fn a_code_may_be_typed_as_people_do() {
        let page = explained("KF-PRE-SHORT-RETENTION").unwrap();
        for typed in ["kf-pre-short-retention", "PRE-SHORT-RETENTION", " KF-PRE-SHORT-RETENTION "] {
            assert_eq!(explained(typed).unwrap(), page, "{typed}");
        }
    }

    #[test]
    fn a_code_that_is_none_gets_the_ones_that_may_be_meant() {
        let refused = |code: &str| {
            let error = explained(code).unwrap_err();
            assert_eq!(error.code(), Code::UsageInvalid);
            error.seen().to_owned()
        };
        assert_eq!(refused("KF-PRE-SHORT-RETENTOIN"), "there is no code \"KF-PRE-SHORT-RETENTOIN\"; did you mean KF-PRE-SHORT-RETENTION?");
        assert!(refused("retention").contains("did you mean KF-PRE-SHORT-RETENTION or KF-PRE-STORE-RETENTION?"));
        assert!(refused("STORE").contains("codes have that in them: KF-STORE-UNAVAILABLE, "));
        assert!(refused("colour").ends_with("`kferry explain` lists all codes"));
    }
}
