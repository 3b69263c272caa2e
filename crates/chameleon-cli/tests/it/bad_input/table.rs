//! The rows, in the order of the page.

use reqwest::Method;

use super::act::{Act, Edit, Trouble};
use super::{After, Case};
use crate::rig::PROD;

const BASE: &str = "config/location.yml";
const SCHEMA: &str = "config/schemas/location.schema.yml";

const SHARES: &str = "aMapPercentage: 90\nbMapPercentage: 20\n";
const REJECTED: &str = "remote: chameleon: rejected; what was live stays live";
const ALL_REJECT: &str =
    "remote: chameleon: revision <n> is rejected by 2 instances; they keep what they had";
const BOTH_REFUSED: &str = "`git push` exits with 0, `chameleon validate` with 1";
const VALID: &str = "`git push` exits with 0, `chameleon validate` with 0";

/// Refused by git-sync before anything is stored, and by `chameleon validate` alike.
pub(super) const PUSHES: &[Case] = &[
    Case {
        name: "Bad YAML",
        act: Act::Push(&[(
            PROD,
            Edit::Write("aMapPercentage: 0\nbMapPercentage: [100\n"),
        )]),
        status: BOTH_REFUSED,
        lines: &[
            REJECTED,
            "remote: chameleon:   config/location-prod.yml:3:1: bMapPercentage[1]: is not YAML: while parsing a flow sequence, expected ',' or ']'; correct the syntax",
        ],
        after: After::Current,
    },
    Case {
        name: "Shares that do not add up",
        act: Act::Push(&[(PROD, Edit::Write(SHARES))]),
        status: BOTH_REFUSED,
        lines: &[
            REJECTED,
            "remote: chameleon:   config/location-prod.yml:1:1: `aMapPercentage` 90 + `bMapPercentage` 20 is 110, must be 100; change them together",
        ],
        after: After::Current,
    },
    Case {
        name: "An unknown vendor",
        act: Act::Push(&[(BASE, Edit::Replace("vendor: naver", "vendor: goggle"))]),
        status: BOTH_REFUSED,
        lines: &[
            REJECTED,
            "remote: chameleon:   config/location.yml:10:13: maps.b.vendor: must be one of `tmap`, `naver`, is `goggle`",
        ],
        after: After::Current,
    },
    Case {
        name: "A deleted file that is needed",
        act: Act::Push(&[(PROD, Edit::Delete)]),
        status: BOTH_REFUSED,
        lines: &[
            REJECTED,
            "remote: chameleon:   config/location.yml:3:1: `aMapPercentage` is required; add it",
            "remote: chameleon:   config/location.yml:3:1: `bMapPercentage` is required; add it",
        ],
        after: After::Current,
    },
    Case {
        name: "All documents of a service deleted",
        act: Act::Push(&[(PROD, Edit::Delete), (BASE, Edit::Delete)]),
        status: BOTH_REFUSED,
        lines: &[
            REJECTED,
            "remote: chameleon:   config/schemas/location.schema.yml: has no document to describe; add `location.yml`, or remove this schema too",
        ],
        after: After::Current,
    },
    Case {
        name: "All files deleted",
        act: Act::Push(&[
            (PROD, Edit::Delete),
            (BASE, Edit::Delete),
            (SCHEMA, Edit::Delete),
        ]),
        status: BOTH_REFUSED,
        lines: &[
            REJECTED,
            "remote: chameleon:   config: has no file at this commit, so applying it would delete every key of the source; put the files back, or remove the source",
        ],
        after: After::Current,
    },
    Case {
        name: "A push to another branch",
        act: Act::PushTo("try-b"),
        status: "`git push` exits with 0",
        lines: &["remote: chameleon: `refs/heads/try-b` is not the synced branch `main`: ignored"],
        after: After::Current,
    },
];

const MISSING: &str = "config/location.yml:6:13: maps.a.appKey: `APP_MISSING` is not set and has no default; set it, or write `${APP_MISSING:default}`";
const SUM: &str = "config/location-prod.yml:1:1: aMapPercentage: makes shares that add up to 110, not to 100: `aMapPercentage` 90, `bMapPercentage` 20; change them together";
const VENDOR: &str =
    "config/location.yml:10:5: maps.b.vendor: is `goggle`: give one of `tmap`, `naver`";
const NO_SHARES: &str = "config/location.yml:3:1: maps: has no shares: give its providers their percentages, such as `aMapPercentage: 100`";
const VANISHED: &str = "config/location-prod.yml: documents vanished: neither this key nor `config/location.yml` exists any more; put one of them back, or let the service allow it by `allow_vanished`";

/// Stored, because nothing before the instances could know; refused by each of them.
pub(super) const SEEN_BY_INSTANCES: &[Case] = &[
    Case {
        name: "A missing placeholder",
        act: Act::Push(&[(BASE, Edit::Replace("${APP_TMAP_KEY}", "${APP_MISSING}"))]),
        status: VALID,
        lines: &[
            ALL_REJECT,
            "remote: chameleon:   location-1: config/location.yml:6:13: maps.a.appKey: `APP_MISSING` is not set and has no default; set it, or write `${APP_MISSING:default}`",
            "remote: chameleon:   location-2: config/location.yml:6:13: maps.a.appKey: `APP_MISSING` is not set and has no default; set it, or write `${APP_MISSING:default}`",
        ],
        after: After::Rejecting(MISSING),
    },
    Case {
        name: "Shares that do not add up, without a schema",
        act: Act::Push(&[(SCHEMA, Edit::Delete), (PROD, Edit::Write(SHARES))]),
        status: VALID,
        lines: &[
            ALL_REJECT,
            "remote: chameleon:   location-1: config/location-prod.yml:1:1: aMapPercentage: makes shares that add up to 110, not to 100: `aMapPercentage` 90, `bMapPercentage` 20; change them together",
            "remote: chameleon:   location-2: config/location-prod.yml:1:1: aMapPercentage: makes shares that add up to 110, not to 100: `aMapPercentage` 90, `bMapPercentage` 20; change them together",
        ],
        after: After::Rejecting(SUM),
    },
    Case {
        name: "An unknown vendor, without a schema",
        act: Act::Push(&[
            (SCHEMA, Edit::Delete),
            (BASE, Edit::Replace("vendor: naver", "vendor: goggle")),
        ]),
        status: VALID,
        lines: &[
            ALL_REJECT,
            "remote: chameleon:   location-1: config/location.yml:10:5: maps.b.vendor: is `goggle`: give one of `tmap`, `naver`",
            "remote: chameleon:   location-2: config/location.yml:10:5: maps.b.vendor: is `goggle`: give one of `tmap`, `naver`",
        ],
        after: After::Rejecting(VENDOR),
    },
    Case {
        name: "A deleted file that is needed, without a schema",
        act: Act::Push(&[(SCHEMA, Edit::Delete), (PROD, Edit::Delete)]),
        status: VALID,
        lines: &[
            ALL_REJECT,
            "remote: chameleon:   location-1: config/location.yml:3:1: maps: has no shares: give its providers their percentages, such as `aMapPercentage: 100`",
            "remote: chameleon:   location-2: config/location.yml:3:1: maps: has no shares: give its providers their percentages, such as `aMapPercentage: 100`",
        ],
        after: After::Rejecting(NO_SHARES),
    },
];

/// Requests and commands to a running platform.
pub(super) const REQUESTS: &[Case] = &[
    Case {
        name: "A wrong signature",
        act: Act::Webhook { signed: true },
        status: "HTTP 401",
        lines: &[
            "the signature is missing or wrong; give the sender the same secret as this source",
        ],
        after: After::Current,
    },
    Case {
        name: "No signature",
        act: Act::Webhook { signed: false },
        status: "HTTP 401",
        lines: &[
            "the signature is missing or wrong; give the sender the same secret as this source",
        ],
        after: After::Current,
    },
    Case {
        name: "Bad YAML by Consul's API",
        act: Act::Consul(
            Method::PUT,
            "/v1/kv/config/location-prod.yml",
            "aMapPercentage: [\n",
        ),
        status: "HTTP 400",
        lines: &[
            "config/location-prod.yml:2:1: aMapPercentage[0]: is not YAML: while parsing a node, did not find expected node content; correct the syntax",
        ],
        after: After::Current,
    },
    Case {
        name: "An unknown vendor by Consul's API",
        act: Act::Consul(
            Method::PUT,
            "/v1/kv/config/location.yml",
            "maps: { a: { vendor: goggle } }\n",
        ),
        status: "HTTP 400",
        lines: &[
            "config/location.yml:1:22: maps.a.vendor: must be one of `tmap`, `naver`, is `goggle`",
        ],
        after: After::Current,
    },
    Case {
        name: "Shares that do not add up by `chameleon put`",
        act: Act::Put("config/location-prod.yml", SHARES),
        status: "exit code 1",
        lines: &[
            "refused to write `config/location-prod.yml`:",
            "  config/location-prod.yml:1:1: `aMapPercentage` 90 + `bMapPercentage` 20 is 110, must be 100; change them together",
        ],
        after: After::Current,
    },
    Case {
        name: "Shares that do not add up by Consul's API",
        act: Act::Consul(Method::PUT, "/v1/kv/config/location-prod.yml", SHARES),
        status: "HTTP 200",
        lines: &["true"],
        after: After::Rejecting(SUM),
    },
    Case {
        name: "A key of 600 bytes",
        act: Act::LongConsul(
            Method::PUT,
            || format!("/v1/kv/{}", "k".repeat(600)),
            || "x".to_owned(),
        ),
        status: "HTTP 400",
        lines: &["the key has 600 bytes, 512 are allowed; shorten it"],
        after: After::Current,
    },
    Case {
        name: "A key with a control character",
        act: Act::Consul(Method::PUT, "/v1/kv/a%0Ab", "x"),
        status: "HTTP 400",
        lines: &[r"key `a\nb` has a control character; remove it"],
        after: After::Current,
    },
    Case {
        name: "A value that is too large",
        act: Act::LongConsul(
            Method::PUT,
            || "/v1/kv/a".to_owned(),
            || "x".repeat(512 * 1024 + 1),
        ),
        status: "HTTP 413",
        lines: &["Request body(524289 bytes) too large, max size: 524288 bytes."],
        after: After::Current,
    },
    Case {
        name: "Broken JSON in a transaction",
        act: Act::Consul(Method::PUT, "/v1/txn", "[{"),
        status: "HTTP 400",
        lines: &["Failed to parse body: EOF while parsing an object at line 1 column 2"],
        after: After::Current,
    },
    Case {
        name: "An operation too many in a transaction",
        act: Act::LongConsul(
            Method::PUT,
            || "/v1/txn".to_owned(),
            || {
                let operation = r#"{"KV": {"Verb": "set", "Key": "a"}}"#;
                format!("[{}]", [operation; 129].join(","))
            },
        ),
        status: "HTTP 413",
        lines: &["Transaction contains too many operations (129 > 128)"],
        after: After::Current,
    },
    Case {
        name: "An unknown session",
        act: Act::Consul(
            Method::PUT,
            "/v1/kv/a?acquire=4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b",
            "x",
        ),
        status: "HTTP 500",
        lines: &[r#"invalid session "4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b""#],
        after: After::Current,
    },
    Case {
        name: "The largest index",
        act: Act::Consul(
            Method::GET,
            "/v1/kv/a?index=18446744073709551615&wait=20ms",
            "",
        ),
        status: "HTTP 404",
        lines: &[],
        after: After::Current,
    },
    Case {
        name: "All keys deleted by Consul's API",
        act: Act::Consul(Method::DELETE, "/v1/kv/config/?recurse", ""),
        status: "HTTP 200",
        lines: &["true"],
        after: After::Rejecting(VANISHED),
    },
    Case {
        name: "A deletion with `recurse=false`",
        act: Act::Consul(Method::DELETE, "/v1/kv/config/?recurse=false", ""),
        status: "HTTP 200",
        lines: &["true"],
        after: After::Rejecting(VANISHED),
    },
];

/// What keeps a second platform from starting; the first goes on.
pub(super) const STARTS: &[Case] = &[
    Case {
        name: "A port in use",
        act: Act::Dev(Trouble::BusyPort),
        status: "exit code 1",
        lines: &[if cfg!(target_os = "linux") {
            "error: listen for config-server HTTP on 127.0.0.1:<port>: the port is in use by `<program>` (pid <pid>); choose another with `--port-offset`"
        } else {
            "error: listen for config-server HTTP on 127.0.0.1:<port>: the port is in use; choose another with `--port-offset`"
        }],
        after: After::Current,
    },
    Case {
        name: "A folder that can't be written",
        act: Act::Dev(Trouble::FolderBelowFile),
        status: "exit code 1",
        lines: &[
            "error: make the folder `<folder>/file/data`: Not a directory (os error 20); choose another with `--dir`",
        ],
        after: After::Current,
    },
    Case {
        name: "A store that can't be written",
        act: Act::Dev(Trouble::StoreBelowFile),
        status: "exit code 1",
        lines: &[
            "error: open the store `sqlite://<folder>/file/store.db` (`--store`): cannot write to `<folder>/file/store.db`: File exists (os error 17); give the store a file in a folder that can be written",
        ],
        after: After::Current,
    },
    Case {
        name: "A database that is not there",
        act: Act::Dev(Trouble::AbsentDatabase),
        status: "exit code 1",
        lines: &[
            "error: open the store `postgres://ada:***@127.0.0.1:1/chameleon` (`--store`): the database is unavailable: `postgres://ada:***@127.0.0.1:1/chameleon`: error communicating with database: Connection refused (os error <n>); start the database, or correct its address",
        ],
        after: After::Current,
    },
];

/// While the database of a running platform is away.
pub(super) const OUTAGES: &[Case] = &[
    Case {
        name: "A write while the database is away",
        act: Act::Consul(
            Method::PUT,
            "/v1/kv/config/location-prod.yml",
            "aMapPercentage: 0\nbMapPercentage: 100\n",
        ),
        status: "HTTP 503",
        lines: &["the database is unavailable; nothing was changed, reads go on, try again later"],
        after: After::Current,
    },
    Case {
        name: "A push while the database is away",
        act: Act::Push(&[(
            PROD,
            Edit::Write("aMapPercentage: 100\nbMapPercentage: 0\n"),
        )]),
        status: VALID,
        lines: &[
            "remote: chameleon: pushed, and not applied after 5s; git-sync tries on: see `chameleon status`, or its log",
        ],
        after: After::Current,
    },
];
