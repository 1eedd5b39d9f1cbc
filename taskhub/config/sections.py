"""The shape of the configuration: frozen sections, defaults and limits; no reading, no merging."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta

from taskhub.config.event_urls import SERVICE_BUS, STREAMS, scheme_of

Seconds = Annotated[float, Meta(gt=0, le=86_400 * 366)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
LogLevel = Literal["debug", "info", "warning", "error"]
Count = Annotated[int, Meta(ge=1, le=100_000)]

ROLE_URI = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
"""The role claim as .NET issuers name it."""


class Secret(str):
    """A text that never shows itself: its repr is masked; take the value with `reveal()`."""

    __slots__ = ()

    def __new__(cls, value: str = "") -> Self:
        """A secret made of a secret is the same, not its mask."""
        return value if isinstance(value, cls) else super().__new__(cls, value)

    def __repr__(self) -> str:
        return "'***'" if str.__len__(self) else "''"

    def __str__(self) -> str:
        return "***" if str.__len__(self) else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return str.__str__(self)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: frozen, and an unknown key is an error."""


class SupervisorSection(Section, frozen=True, kw_only=True):
    """`[supervisor]`: restart intensity of every supervisor, and how long a stop may take."""

    intensity: Count = 5
    period: Seconds = 30.0
    grace: Seconds = 25.0
    runtime_directory: str = ""
    """Where supervision sockets and incarnation locks live; empty: chosen from the environment."""


class HttpSection(Section, frozen=True, kw_only=True):
    """`[http]`: where the API listens and what it takes."""

    host: str = "127.0.0.1"
    port: Port = 8080
    max_body: Annotated[int, Meta(ge=1_024, le=64 * 1024 * 1024)] = 1_048_576
    max_batch_body: Annotated[int, Meta(ge=1_024, le=64 * 1024 * 1024)] = 8 * 1_048_576
    """Of `POST /tasks/batch`."""
    header_timeout: Seconds = 10.0
    body_timeout: Seconds = 10.0
    tls_certificate: str = ""
    """A file with the certificate and its chain in PEM; empty: no TLS."""
    tls_key: str = ""
    """A file with the private key that belongs to it."""
    access_log: bool = False
    """Whether each answer has a line in the log."""
    unknown_types: Literal["refuse", "accept"] = "refuse"
    """What becomes of a new task whose type no worker has registered."""
    metrics_allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that may read /metrics."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `Forwarded` and `X-Forwarded-For` are believed; `unix`: unix sockets."""


class IssuerSection(Section, frozen=True, kw_only=True):
    """`[jwt.issuers.NAME]`: one more issuer; what it leaves empty is as in `[jwt]`."""

    authority: str = ""
    audience: str = ""
    issuer_signing_key: Secret = Secret("")
    """An HMAC secret of at least 32 bytes, or a public key in PEM."""
    metadata_address: str = ""
    scope_claims: tuple[str, ...] = ()
    role_claims: tuple[str, ...] = ()


class JwtSection(Section, frozen=True, kw_only=True):
    """`[jwt]`: who may issue tokens."""

    authority: str = ""
    audience: str = ""
    issuer_signing_key: Secret = Secret("")
    """As of an `IssuerSection`; empty: the keys are asked of the authority (OpenID Connect)."""
    metadata_address: str = ""
    """Where the authority describes itself; empty: at its well-known place."""
    scope_claims: tuple[str, ...] = ("scope", "scp")
    role_claims: tuple[str, ...] = ("role", "roles", ROLE_URI)
    leeway: Annotated[float, Meta(ge=0, le=300)] = 5.0
    issuers: dict[str, IssuerSection] = {}
    """More issuers, by the name that stands before their subjects."""


class StoreSection(Section, frozen=True, kw_only=True):
    """`[store]`: where tasks live: a file, PostgreSQL or SQL Server; `stores` has all forms."""

    url: str = "sqlite:///data/taskhub.db"
    password: Secret = Secret("")
    """Of the server's user; empty: it asks for none, or libpq finds it in a password file."""
    lock_timeout: Seconds = 5.0
    """How long a write waits for a database that another program holds."""


class EventsSection(Section, frozen=True, kw_only=True):
    """`[events]`: `embedded`, `local`, `redis://host:port/db`, `servicebus://host/topic`.

    `event_urls` has all forms.
    """

    url: str = "embedded"
    channel: Annotated[str, Meta(min_length=1, max_length=100)] = "taskhub:events"

    @property
    def has_streams(self) -> bool:
        """Whether each hint of new work goes to one worker: `redis+streams://`."""
        return STREAMS in scheme_of(self.url)

    @property
    def is_service_bus(self) -> bool:
        """Whether a topic of Azure Service Bus carries them."""
        return scheme_of(self.url) == [SERVICE_BUS]


class RedisSection(Section, frozen=True, kw_only=True):
    """`[redis]`: the name and the password for the event server, and whose certificate it has."""

    username: str = ""
    password: Secret = Secret("")
    sentinel_password: Secret = Secret("")
    """For the sentinels, where they want one."""
    tls_ca: str = ""
    """Certificates that the server's may be signed by; empty: those of the system."""
    tls_certificate: str = ""
    """Our own, for a server that wants one."""
    tls_key: str = ""


class ServiceBusSection(Section, frozen=True, kw_only=True):
    """`[servicebus]`: how we sign on to Azure Service Bus, and which subscriptions are ours."""

    connection_string: Secret = Secret("")
    """Of a shared access policy; empty: the identity that Azure gives this process."""
    subscription: Annotated[str, Meta(min_length=1, max_length=100)] = "{instance}"
    """That of one process alone; `{instance}` is such as `api-1`, `{host}` this machine's name."""
    work: Annotated[str, Meta(min_length=1, max_length=50)] = "work"
    """That of all workers together."""


Most = Annotated[int, Meta(ge=0, le=100_000)]
"""So many at once; 0: as many as there are slots."""


class QueueSection(Section, frozen=True, kw_only=True):
    """`[work.limits.NAME]`: what the queue of this name allows, over all workers."""

    concurrency: Most = 0
    rate: str = ""
    """Tasks that begin, such as `100/minute`; empty: no limit."""
    key_concurrency: Most = 0
    """The same of the tasks that have the same groupKey."""
    key_rate: str = ""


class WorkSection(Section, frozen=True, kw_only=True):
    """`[work]`: which handlers run here, how many at once, and how leases are kept."""

    handlers: tuple[str, ...] = ()
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 64
    processes: Annotated[int, Meta(ge=0, le=1_000)] = 0
    """Child processes for handlers that compute; 0: as many as there are processors."""
    lease: Annotated[float, Meta(ge=1, le=3_600)] = 15.0
    queues: tuple[str, ...] = ()
    """Queues served here; empty: all."""
    max_result: Annotated[int, Meta(ge=1_024, le=16 * 1024 * 1024)] = 1_048_576
    """Bytes of JSON that a result may have."""
    limits: dict[str, QueueSection] = msgspec.field(default_factory=dict)


class WebhookSection(Section, frozen=True, kw_only=True):
    """`[outbound.webhooks.NAME]`: who is told of which events; what is empty filters nothing."""

    url: str = ""
    events: tuple[str, ...] = ("TaskDone", "TaskFailed", "TaskCancelled")
    types: tuple[str, ...] = ()
    """Types of tasks; `image.*` is every one that begins so."""
    queues: tuple[str, ...] = ()
    secret: Secret = Secret("")
    """As `outbound.secret`, for the deliveries of this webhook."""


class OutboundSection(Section, frozen=True, kw_only=True):
    """`[outbound]`: what tasks that call other hosts may reach, and how they sign."""

    allow: tuple[str, ...] = ()
    """Networks that may be called though they are private, local or reserved."""
    secret: Secret = Secret("")
    """`whsec_...`, or several with blanks between: requests of the type `http` are signed."""
    webhooks: dict[str, WebhookSection] = msgspec.field(default_factory=dict)


class HeartbeatSection(Section, frozen=True, kw_only=True):
    """`[heartbeat]`: how often each process leaves its mark in the audit log."""

    every: Seconds = 10.0


class MetricsSection(Section, frozen=True, kw_only=True):
    """`[metrics]`: where the metrics of the whole tree are served."""

    host: str = "127.0.0.1"
    port: Port = 9464
    push_url: str = ""
    """A Pushgateway that gets them too; empty: none."""
    push_every: Seconds = 15.0
    push_instance: str = ""
    """What its label `instance` says; empty: this host and `port`."""


class LogsSection(Section, frozen=True, kw_only=True):
    """`[logs]`: a directory for daily files; empty: the terminal or the journal."""

    directory: str = ""
    level: LogLevel = "info"
    format: Literal["auto", "console", "clef"] = "auto"
    keep_days: Annotated[int, Meta(ge=1, le=3_650)] = 31
    max_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    """Megabytes of all files of one application together: the oldest are deleted."""


NO_TRACING = "none"


class TracingSection(Section, frozen=True, kw_only=True):
    """`[tracing]`: where spans of requests and attempts are sent."""

    exporter: Literal["none", "otlp", "azure"] = "none"
    endpoint: str = "http://127.0.0.1:4318/v1/traces"
    """Of `otlp`: where the collector takes traces over HTTP (protobuf)."""
    connection_string: Secret = Secret("")
    """Of `azure`: of the Application Insights resource."""
    ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """The share of traces begun here that is kept; of others whoever began them decides."""


class CorsSection(Section, frozen=True, kw_only=True):
    """`[cors]`: origins of browser applications that may call the API; `*` alone: of all."""

    origins: tuple[str, ...] = ()
    credentials: bool = False
    """Whether browsers may send cookies and the like along; a bearer token needs no leave."""


class LimitsSection(Section, frozen=True, kw_only=True):
    """`[limits]`: how much work may wait inside one process, and how often a client may ask."""

    mailbox: Count = 4_096
    create: str = ""
    """New tasks of one principal, such as `100/second`; empty: no limit."""
    acts: str = ""
    """Its acts on tasks (cancel, retry)."""
    work: str = ""
    """What it asks for as an external worker: claims, renewals, outcomes."""
    bad_tokens: str = ""
    """Tokens of one address that are refused; past it none is looked at."""
    backlog: Annotated[int, Meta(ge=0)] = 0
    """Tasks that may wait in the stream of new work before others are refused; 0: no limit."""
    backlog_age: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """Seconds that the first of them may wait there; 0: no limit."""


class RetentionSection(Section, frozen=True, kw_only=True):
    """`[retention]`: how long ended tasks, events, audit rows and Idempotency-Keys are kept."""

    tasks_days: Annotated[float, Meta(gt=0, le=36_500)] = 30.0
    events_days: Annotated[float, Meta(gt=0, le=36_500)] = 7.0
    audit_days: Annotated[float, Meta(gt=0, le=36_500)] = 90.0
    keys_hours: Annotated[float, Meta(gt=0, le=8_760)] = 24.0
    """Of a key that is used from now on: each is kept as long as was said when it came."""
    results_days: Annotated[float, Meta(ge=0, le=36_500)] = 0.0
    """Of the results of tasks that end from now on; 0: as long as their tasks."""


class ScheduleSection(Section, frozen=True, kw_only=True):
    """`[[schedules]]`: what is made, and when; kept by its name."""

    cron: str
    time_zone: str = "UTC"
    title: str = ""
    """Of its tasks; empty: its name."""
    type: str = "simulate"
    queue: str = ""
    """Empty: as the type has it."""
    priority: int = 0
    payload: Any = msgspec.field(default_factory=dict)
    max_attempts: int = 0
    """0: as the type has it."""
    timeout: float = 0.0
    """Seconds of one attempt; 0: as the type has it."""
    misfire: Literal["skip", "once", "all"] = "once"
    """What is done about due times that were missed."""
    misfire_grace: float = 60.0
    """Seconds after which a due time counts as missed."""
    overlap: Literal["skip", "queue", "cancel"] = "skip"
    """What is done while the run before has not ended."""

    def __str__(self) -> str:
        return f"{self.type} at {self.cron} ({self.time_zone})"


_WORK = ("scheduler", "reaper", "pruner", "webhooks")

UNITS: dict[str, tuple[str, ...]] = {
    "tree": (
        "store",
        "events-server",
        "publisher",
        "heartbeat",
        "metrics",
        "pusher",
        "unit:worker",
        "unit:api",
    ),
    "api": ("store", "publisher", "subscriber", "heartbeat", "api"),
    "worker": ("store", "publisher", "heartbeat", *_WORK, "pool", "subscriber"),
    "scheduler": ("store", "publisher", "heartbeat", *_WORK, "subscriber"),
    "metrics": ("metrics", "pusher"),
    "all": (
        "store",
        "events-server",
        "publisher",
        "metrics",
        "pusher",
        "heartbeat",
        *_WORK,
        "pool",
        "subscriber",
        "api",
    ),
}
"""What `taskhub run --unit NAME` runs, in the order of start."""


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration, checked."""

    units: dict[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: dict(UNITS))
    supervisor: SupervisorSection = SupervisorSection()
    http: HttpSection = HttpSection()
    jwt: JwtSection = JwtSection()
    store: StoreSection = StoreSection()
    events: EventsSection = EventsSection()
    redis: RedisSection = RedisSection()
    servicebus: ServiceBusSection = ServiceBusSection()
    work: WorkSection = WorkSection()
    outbound: OutboundSection = OutboundSection()
    heartbeat: HeartbeatSection = HeartbeatSection()
    metrics: MetricsSection = MetricsSection()
    logs: LogsSection = LogsSection()
    tracing: TracingSection = TracingSection()
    cors: CorsSection = CorsSection()
    limits: LimitsSection = LimitsSection()
    retention: RetentionSection = RetentionSection()
    policies: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Which scopes and roles open a route, where they are not those of the route table."""
    log_levels: dict[str, LogLevel] = msgspec.field(default_factory=dict)
    """How loud some actors are, by their names; the others are as `logs.level` says."""
    schedules: dict[str, ScheduleSection] = msgspec.field(default_factory=dict)
    """What is made when, by the name of the schedule."""
