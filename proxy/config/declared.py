"""What can be set, declared once in tables: names, kinds, defaults, and a sentence of help.

The tables are what files are checked against, what the reference in the documentation is made
from, and what the sample file is tested with.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.config.active import ACTIVE
from proxy.config.admin import ADDRESS
from proxy.config.key import Key
from proxy.config.kinds import (
    DEADLINE,
    DURATION,
    FILE,
    FLAG,
    HOST,
    HOSTS,
    NAMES,
    PATH,
    PATHS,
    PATTERNS,
    SIZE,
    SOURCE,
    TEXT,
    one_of,
    whole,
)
from proxy.config.listening import NETWORKS

SERVER = (
    Key(
        name="host",
        kind=HOST,
        default="127.0.0.1",
        help='Address to listen on; "0.0.0.0" for all IPv4 interfaces, "::" for all.',
    ),
    Key(
        name="port",
        kind=whole(0, 65535),
        default=8080,
        help="Port to listen on; 0 takes a free one and prints it.",
    ),
    Key(
        name="workers",
        kind=whole(1, 64),
        default=1,
        help="Worker processes; they share the cache and fetch each file once between them.",
    ),
    Key(
        name="max_connections",
        kind=whole(16, 1_000_000),
        default=4096,
        help="Connections of a worker; beyond them idle ones end, and then new ones get 503.",
    ),
    Key(
        name="drain_timeout",
        kind=DURATION,
        default="30s",
        help="How long running downloads may go on after SIGTERM.",
    ),
    Key(
        name="socket",
        kind=PATH,
        default=None,
        help="Unix socket to listen on in place of host and port, for the server's user and group.",
    ),
    Key(
        name="tls_certificate",
        kind=FILE,
        default=None,
        help="Certificate with its chain (PEM): then clients use https; read again on a change.",
    ),
    Key(
        name="tls_key",
        kind=FILE,
        default=None,
        help="The certificate's key (PEM), without a password.",
    ),
    Key(
        name="trusted_proxies",
        kind=NETWORKS,
        default=[],
        help="Proxies in front (addresses, networks, `unix`) whose X-Forwarded-* are believed.",
    ),
)

CACHE = (
    Key(
        name="path",
        kind=PATHS,
        default="~/.cache/pkgproxy",
        help="Folder, or several searched in order (docs/cache.md); default: see XDG_CACHE_HOME.",
    ),
    Key(
        name="max_size",
        kind=SIZE,
        default=None,
        help="Bytes of bodies beyond which the least used, large ones first, go; none: no limit.",
    ),
    Key(
        name="keep_superseded",
        kind=DURATION,
        default="7d",
        help="How long parts of superseded indexes (shards) are kept, for clients that hold these.",
    ),
)

ACCESS = (
    Key(
        name="public",
        kind=PATTERNS,
        default=["*"],
        help="Mirrors (`<type>/<name>`, with `*` and `?`) that need no token; `[]`: none is.",
    ),
    Key(
        name="tokens",
        kind=PATH,
        default=None,
        help="File of the tokens, hashed; default: `tokens.json` in the cache folder.",
    ),
    Key(
        name="failures",
        kind=whole(1, 100_000),
        default=30,
        help="Wrong tokens per minute from one address; then its tokens are refused unread (429).",
    ),
)

LOG = (
    Key(
        name="format",
        kind=one_of("text", "json"),
        default="text",
        help="One event is one line, for people or for machines.",
    ),
    Key(
        name="level",
        kind=one_of("debug", "info", "warning", "error"),
        default="info",
        help="The least important events that are logged.",
    ),
    Key(name="requests", kind=FLAG, default=True, help="Whether every request is logged."),
)

UPSTREAM = (
    Key(
        name="connect_timeout",
        kind=DEADLINE,
        default="10s",
        help="Time to connect, TLS included.",
    ),
    Key(
        name="read_timeout",
        kind=DEADLINE,
        default="30s",
        help="Time to wait for an answer to begin, and between two pieces of it.",
    ),
    Key(
        name="slowest",
        kind=whole(0, 1 << 30),
        default=1024,
        help="Bytes per second, over `read_timeout`, below which a body is given up; 0: never.",
    ),
    Key(
        name="attempts",
        kind=whole(1, 20),
        default=3,
        help="How often a request is sent at the most.",
    ),
    Key(
        name="backoff",
        kind=DURATION,
        default="300ms",
        help="Wait before the second attempt; it doubles with each further one, with jitter.",
    ),
    Key(
        name="backoff_max",
        kind=DURATION,
        default="5s",
        help="Longest such wait; a longer Retry-After is passed on to the client.",
    ),
    Key(
        name="resumes",
        kind=whole(0, 100),
        default=5,
        help="How often a body that breaks off is resumed without getting further.",
    ),
    Key(
        name="trip_after",
        kind=whole(0, 1000),
        default=5,
        help="Failures of a host in a row after which it is only tried now and then; 0: never.",
    ),
    Key(
        name="connections",
        kind=whole(1, 10000),
        default=100,
        help="Connections at the same time, to all hosts.",
    ),
    Key(
        name="connections_per_host",
        kind=whole(1, 1000),
        default=16,
        help="Connections at the same time, to one host.",
    ),
    Key(
        name="ca_bundle",
        kind=FILE,
        default=None,
        help="CA certificates in PEM form; default: SSL_CERT_FILE, else the system's.",
    ),
    Key(
        name="trust_env",
        kind=FLAG,
        default=True,
        help="Whether HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured.",
    ),
)

ADVISORIES = (
    Key(
        name="osv",
        kind=PATH,
        default=None,
        help="Folder or zip of OSV records, such as a copy of OSV's dump; none: nothing is known.",
    ),
    Key(
        name="overlay",
        kind=FILE,
        default=None,
        help="TOML file of `[[advisory]]` tables: the state of vulnerabilities (docs/policies.md).",
    ),
    Key(
        name="conda_names",
        kind=FILE,
        default=None,
        help="JSON or TOML table from conda names to PyPI names, beside the records' `purls`.",
    ),
    Key(
        name="interval",
        kind=DEADLINE,
        default="30s",
        help="How often these files are looked at; what changed is used at once.",
    ),
)

ADMIN = (
    Key(
        name="listen",
        kind=ADDRESS,
        default=None,
        help="Where the administration is to be had over TCP; needs a token unless it is loopback.",
    ),
    Key(
        name="socket",
        kind=PATH,
        default=None,
        help="Unix socket for it, for the server's user and group only.",
    ),
    Key(
        name="credentials",
        kind=TEXT,
        default=None,
        help='Name of a `[credentials.<name>]` table of kind "bearer": its token is asked for.',
    ),
    Key(
        name="tls_certificate",
        kind=FILE,
        default=None,
        help="Certificate with its chain (PEM): `listen` speaks https; read again on a change.",
    ),
    Key(
        name="tls_key",
        kind=FILE,
        default=None,
        help="The certificate's key (PEM), without a password.",
    ),
)

MIRROR = (
    Key(
        name="type",
        kind=one_of("conda", "pypi", "cran", "files"),
        default=None,
        help="What is mirrored; required.",
    ),
    Key(
        name="name",
        kind=TEXT,
        default=None,
        help="Served under `/<type>/<name>/`; may hold slashes; required.",
    ),
    Key(
        name="source",
        kind=SOURCE,
        default=None,
        help="Upstream's URL: channel, simple index (`auto`: pip's), repository, folder; required.",
    ),
    Key(
        name="mode",
        kind=one_of("passive", "active"),
        default="passive",
        help="Packages are fetched when a client asks for them, or by runs ahead of that.",
    ),
    Key(
        name="credentials",
        kind=TEXT,
        default=None,
        help="Name of a `[credentials.<name>]` table, for the source's host only.",
    ),
    Key(
        name="policy",
        kind=TEXT,
        default=None,
        help="Name of a policy, in place of the one for all mirrors; `none`: no policy.",
    ),
    Key(
        name="exclude",
        kind=NAMES,
        default=[],
        help="Names of packages that are refused, with `*` and `?`, whatever the policy says.",
    ),
    Key(
        name="include",
        kind=NAMES,
        default=[],
        help="Names that are exceptions to `exclude`.",
    ),
    Key(
        name="allow_hosts",
        kind=HOSTS,
        default=[],
        help="Further hosts that may be contacted though private or on odd ports (`host:port`).",
    ),
    Key(
        name="fresh_min",
        kind=DURATION,
        default="1m",
        files=0,
        help="Shortest time that something is reused, whatever upstream says.",
    ),
    Key(
        name="fresh_max",
        kind=DURATION,
        default="1h",
        files="365d",
        help="Longest time that something is reused, whatever upstream says.",
    ),
    Key(
        name="fresh_default",
        kind=DURATION,
        default="10m",
        files=0,
        help="Time that something is reused where upstream says nothing.",
    ),
    Key(
        name="stale_while_revalidate",
        kind=DURATION,
        default="1h",
        files=0,
        help="Time beyond that in which clients get the old one while upstream is asked.",
    ),
    Key(
        name="stale_if_error",
        kind=DURATION,
        default="30d",
        help="Time beyond that in which clients get the old one if upstream fails.",
    ),
    Key(
        name="negative",
        kind=DURATION,
        default="1m",
        help='Time that a "no such file" of upstream is believed.',
    ),
    Key(
        name="offline",
        kind=FLAG,
        default=False,
        help="Whether upstream is never asked: what is here is served however old it is.",
    ),
    Key(
        name="offline_index",
        kind=one_of("all", "present"),
        default="all",
        help="What the indexes of a mirror that is offline list: all, or the files that are here.",
    ),
    *ACTIVE,
)

OFFLINE = Key(
    name="offline",
    kind=FLAG,
    default=False,
    help="Whether upstream is never asked, for any mirror; as the option `--offline`.",
)

REQUIRED = ("type", "name", "source")
"""The keys that every mirror has."""

SECTIONS: Mapping[str, tuple[Key, ...]] = {
    "server": SERVER,
    "cache": CACHE,
    "access": ACCESS,
    "log": LOG,
    "upstream": UPSTREAM,
    "advisories": ADVISORIES,
    "admin": ADMIN,
}
"""The sections of single settings, in the order of the reference."""

AUTH_FILE = Key(
    name="auth_file",
    kind=PATH,
    default=None,
    help="Credentials by host in rattler's format; the default follows RATTLER_AUTH_FILE.",
)

POLICY = Key(
    name="policy",
    kind=TEXT,
    default=None,
    help="Name of the policy for all mirrors: a file `policies/<name>.toml` beside this one.",
)
