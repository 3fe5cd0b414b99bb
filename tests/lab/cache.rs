//! Pinned versions of the real parts, downloaded once and shared between runs.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use sha2::{Digest, Sha256};

const VERSITYGW: &str = "v1.8.0";
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab");

/// A toolchain that the lab needs on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Java,
    Javac,
    Maven,
    Go,
    Python,
}

impl Tool {
    fn probe(self) -> (&'static str, &'static str) {
        match self {
            Self::Java => ("java", "-version"),
            Self::Javac => ("javac", "-version"),
            Self::Maven => ("mvn", "-v"),
            Self::Go => ("go", "version"),
            Self::Python => ("python3", "--version"),
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Self::Java => "`java` (a JDK, 17 or later) runs the Kafka brokers, ZooKeeper and the stock clients",
            Self::Javac => "`javac` (a JDK, 17 or later) compiles the lab's Java clients",
            Self::Maven => "`mvn` (Apache Maven) downloads Kafka",
            Self::Go => "`go` (1.25 or later) builds versitygw, the S3 of the tests",
            Self::Python => "`python3` with pip installs shellcheck and the AWS CLI, for tests/full",
        }
    }
}

/// Checks that these tools are there; the error names each that is not, and what it is for.
pub fn check_tools(tools: &[Tool]) -> Result<(), String> {
    let mut missing = Vec::new();
    for tool in tools {
        let (program, flag) = tool.probe();
        match Command::new(program).arg(flag).output() {
            Ok(output) if output.status.success() => {
                let text = [output.stdout, output.stderr].concat();
                if matches!(tool, Tool::Java | Tool::Javac) && java_major(&String::from_utf8_lossy(&text)).is_some_and(|v| v < 17) {
                    missing.push(format!("too old: {}", tool.purpose()));
                }
            }
            _ => missing.push(format!("missing: {}", tool.purpose())),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}

/// The major version in `java -version`'s or `javac -version`'s answer; 1 for versions before 9.
fn java_major(text: &str) -> Option<u32> {
    let at = text.find(|c: char| c.is_ascii_digit())?;
    text[at..].split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Where the cache lies.
pub fn root() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("KFERRY_LAB_CACHE").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir)
            .join("kferry-lab")
    })
}

/// Kafka 3.9.1 with ZooKeeper and the stock tools: a class path.
pub fn kafka_3_9() -> String {
    jars("kafka-3.9.1")
}

/// A Kafka of ZooKeeper's times, without its tools: a class path.
pub fn kafka_older(version: &str) -> String {
    jars_of(&format!("kafka-{version}"), "kafka-older", &[&format!("-Dkafka.version={version}")])
}

/// Kafka's own tiered storage in a directory, from its tests: a class path.
pub fn tiered_storage() -> String {
    jars("tiered-3.9.1")
}

/// Kafka 4.1.1 with the stock tools: a class path.
pub fn kafka_4_1() -> String {
    jars("kafka-4.1.1")
}

/// MirrorMaker 2 of 3.9.1: a class path.
pub fn mirror_3_9() -> String {
    jars("mirror-3.9.1")
}

/// Kafka Streams and Connect 3.9.1 with the file connectors: a class path.
pub fn apps_3_9() -> String {
    jars("apps-3.9.1")
}

/// The lab's Java clients, compiled, with the 4.1.1 clients and Kafka Streams that they use: a class path.
pub fn agent() -> String {
    compiled("agent", "java", &format!("{}:{}", jars("streams-4.1.1"), kafka_4_1()))
}

/// The lab's Kafka Streams application, compiled, with all that it uses: a class path.
pub fn counter() -> String {
    compiled("apps", "java/apps", &apps_3_9())
}

/// What brokers of both versions need beyond Kafka to tell users by listeners: a class path.
pub fn listener_principals() -> String {
    classes("broker", "java/broker", &kafka_3_9()).display().to_string()
}

/// Compiles the sources of a folder: a class path of the classes and of what they use.
fn compiled(name: &str, folder: &str, libraries: &str) -> String {
    format!("{}:{libraries}", classes(name, folder, libraries).display())
}

fn classes(name: &str, folder: &str, libraries: &str) -> PathBuf {
    let mut sources: Vec<PathBuf> = std::fs::read_dir(Path::new(HERE).join(folder))
        .unwrap_or_else(|e| panic!("the lab's Java sources: {e}"))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "java"))
        .collect();
    sources.sort();
    let mut digest = Sha256::new();
    for source in &sources {
        digest.update(source.file_name().unwrap().as_encoded_bytes());
        digest.update(std::fs::read(source).unwrap_or_else(|e| panic!("{}: {e}", source.display())));
    }
    let key: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    publish(&format!("{name}-{key}"), &[Tool::Java, Tool::Javac], |staging| {
        let mut command = Command::new("javac");
        command.args(["--release", "17", "-nowarn", "-Xlint:none", "-cp", libraries, "-d"]).arg(staging).args(&sources);
        command
    })
}

/// What lets clients into secured brokers of both versions, compiled: the classes alone, to be put behind a broker's class path.
pub fn guards() -> String {
    let with_libraries = compiled("guards", "java/guards", &kafka_3_9());
    with_libraries.split(':').next().expect("the classes come first").to_owned()
}

/// The versitygw binary.
pub fn versitygw() -> PathBuf {
    publish(&format!("versitygw-{VERSITYGW}"), &[Tool::Go], |staging| {
        let mut command = Command::new("go");
        command.args(["install", &format!("github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}")]);
        command.env("GOBIN", staging).current_dir(staging);
        command
    })
    .join("versitygw")
}

/// A Python package as `pip install --target` lays it out; its programs need `PYTHONPATH` to name the directory.
pub fn python_package(requirement: &str) -> PathBuf {
    publish(&format!("python-{requirement}"), &[Tool::Python], |staging| {
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--target"]).arg(staging).arg(requirement);
        command
    })
}

fn jars(name: &str) -> String {
    jars_of(name, name, &[])
}

/// What a file of `maven/` asks for, with these properties: a class path.
fn jars_of(name: &str, file: &str, properties: &[&str]) -> String {
    let directory = publish(name, &[Tool::Java, Tool::Maven], |staging| {
        let mut command = Command::new("mvn");
        command.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-f"]);
        command.arg(Path::new(HERE).join("maven").join(format!("{file}.xml"))).args(properties);
        command.arg(format!("-DoutputDirectory={}", staging.display()));
        command
    });
    // Sorted and by name: the same class path in every run, as a shared class archive needs it.
    let mut jars: Vec<String> = std::fs::read_dir(&directory)
        .unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
        .filter_map(|entry| Some(entry.ok()?.path().display().to_string()))
        .filter(|path| path.ends_with(".jar"))
        .collect();
    jars.sort();
    jars.join(":")
}

/// Where the class archive of a set lies, for the `java` that is there: with it a broker starts in half the time.
///
/// It need not exist: a broker writes one when it ends well (`-XX:ArchiveClassesAtExit`), for later runs.
pub fn class_archive(name: &str) -> PathBuf {
    static VERSION: OnceLock<String> = OnceLock::new();
    let version = VERSION.get_or_init(|| {
        let output = Command::new("java").arg("-version").output();
        let digest = Sha256::digest(output.map(|o| o.stderr).unwrap_or_default());
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    });
    root().join(format!("{name}-{version}.jsa"))
}

/// Names the cache's directory `name`, filling it first where it is not there.
///
/// It is filled beside its place under a lock and renamed into it, so what is there is whole.
fn publish(name: &str, tools: &[Tool], fill: impl Fn(&Path) -> Command) -> PathBuf {
    static FILLING: Mutex<()> = Mutex::new(());
    let place = root().join(name);
    if place.is_dir() {
        return place;
    }
    let _one = FILLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::fs::create_dir_all(root()).unwrap_or_else(|e| panic!("lab cache {}: {e}", root().display()));
    let lock = File::create(root().join(format!("{name}.lock"))).unwrap_or_else(|e| panic!("lab cache lock of {name}: {e}"));
    // SAFETY: the descriptor is open for the length of the call.
    unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) };
    if place.is_dir() {
        return place;
    }
    check_tools(tools).unwrap_or_else(|missing| panic!("the lab cannot fetch {name}:\n{missing}"));
    eprintln!("lab: fetching {name} into {} (once)", root().display());
    let staging = root().join(format!(".{name}.filling"));
    let _ = std::fs::remove_dir_all(&staging);
    std::fs::create_dir_all(&staging).unwrap_or_else(|e| panic!("{}: {e}", staging.display()));
    let output = fill(&staging).output().unwrap_or_else(|e| panic!("the lab cannot fetch {name}: {e}"));
    assert!(
        output.status.success(),
        "the lab cannot fetch {name}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::rename(&staging, &place).unwrap_or_else(|e| panic!("publish {}: {e}", place.display()));
    place
}
