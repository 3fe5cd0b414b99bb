//! S3: versitygw over a directory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::process::{Process, free_port};
use super::workdir::WorkDir;
use super::{cache, sigv4};

pub struct S3 {
    port: u16,
    process: Mutex<Option<Process>>,
    dir: WorkDir,
}

impl S3 {
    pub const ACCESS_KEY: &str = "lab-access";
    pub const SECRET_KEY: &str = "lab-secret";
    pub const REGION: &str = "us-east-1";

    pub fn launch() -> Self {
        let s3 = Self { port: free_port(), process: Mutex::new(None), dir: WorkDir::new("s3") };
        s3.start();
        s3
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn access_key(&self) -> &'static str {
        Self::ACCESS_KEY
    }

    pub fn secret_key(&self) -> &'static str {
        Self::SECRET_KEY
    }

    /// The environment with which an AWS client finds its credentials here.
    pub fn env(&self) -> Vec<(String, String)> {
        Self::credentials()
    }

    /// The same, without a server.
    pub fn credentials() -> Vec<(String, String)> {
        [("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", Self::SECRET_KEY), ("AWS_REGION", Self::REGION), ("AWS_EC2_METADATA_DISABLED", "true")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .to_vec()
    }

    /// The directory of a bucket's current objects, one file each.
    pub fn bucket_dir(&self, bucket: &str) -> PathBuf {
        self.dir.path().join("root").join(bucket)
    }

    pub fn create_bucket(&self, name: &str) {
        self.put_bucket(name, &[]);
    }

    /// A bucket with versions and Object Lock.
    pub fn create_locked_bucket(&self, name: &str) {
        self.put_bucket(name, &[("x-amz-bucket-object-lock-enabled", "true")]);
    }

    fn put_bucket(&self, name: &str, headers: &[(&str, &str)]) {
        let (status, body) = self.request("PUT", &format!("/{name}"), headers, b"");
        assert!(status == 200, "create bucket {name}: HTTP {status} {body}");
    }

    /// Asks for a subresource of a bucket, `?policy` for instance; anything but success is a panic.
    #[track_caller]
    pub fn bucket(&self, method: &str, bucket: &str, subresource: &str, body: &str) -> String {
        // Some of S3's calls ask for a checksum of what they are sent.
        let checksum = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(body));
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("x-amz-checksum-sha256", &checksum)] };
        let (status, answer) = self.request(method, &format!("/{bucket}?{subresource}"), headers, body.as_bytes());
        assert!((200..300).contains(&status), "{method} {bucket}?{subresource}: HTTP {status} {answer}");
        answer
    }

    /// Another user, who may do nothing until a bucket's policy says otherwise.
    pub fn create_user(&self, access_key: &str, secret_key: &str) {
        let mut command = Command::new(cache::versitygw());
        command.args(["admin", "--access", Self::ACCESS_KEY, "--secret", Self::SECRET_KEY, "--endpoint-url", &self.endpoint(), "create-user"]);
        let output = command.args(["--access", access_key, "--secret", secret_key, "--role", "user"]).output().expect("versitygw runs");
        assert!(output.status.success(), "create user: {output:?}");
    }

    /// One signed request for a path without special characters, and at most one name as its query; answers status and body.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        self.try_request_through(self.port, method, path, headers, body).unwrap_or_else(|e| panic!("{method} {path} at S3: {e}"))
    }

    /// The same by way of a proxy, for whose address it is signed; a broken connection is an error.
    pub fn try_request_through(&self, port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(u16, String), String> {
        let host = format!("127.0.0.1:{port}");
        let signed = sigv4::sign(method, &host, path, headers, body, Self::ACCESS_KEY, Self::SECRET_KEY, Self::REGION);
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in signed {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|e| e.to_string())?;
        stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(body)).map_err(|e| e.to_string())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| format!("it answered {answer:?}"))?;
        Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_string()).unwrap_or_default()))
    }

    /// SIGKILL.
    pub fn kill(&self) {
        drop(self.process.lock().unwrap().take());
    }

    /// Starts it, the first time or again, on its port and data.
    pub fn start(&self) {
        let mut process = self.process.lock().unwrap();
        assert!(process.is_none(), "S3 is running");
        let mut command = Command::new(cache::versitygw());
        command.args(["--port", &format!("127.0.0.1:{}", self.port), "--access", Self::ACCESS_KEY, "--secret", Self::SECRET_KEY]);
        command.args(["--region", Self::REGION, "--quiet", "--keep-alive", "--iam-dir"]).arg(self.dir.dir("iam"));
        command.args(["posix", "--versioning-dir"]).arg(self.dir.dir("versions")).arg(self.dir.dir("root"));
        let mut started = Process::start("versitygw", &self.dir.path().join("versitygw.log"), &mut command);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.is_running() && Instant::now() < deadline, "versitygw does not come up\n{}", started.log_tail());
            std::thread::sleep(Duration::from_millis(20));
        }
        *process = Some(started);
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}
