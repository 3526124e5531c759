// Written by scripts/contract.mjs from the WIT files. Do not edit.

// What the host gives is complete; what an answer leaves out, where that is allowed, has its usual value.

/**
 * Short facts that are shown with the deployment: "vulnerabilities: 3 (1 high)". Linked where the
 * manifest asks for it, and denied unless granted.
 */
export namespace annotations {
  type Tone = "neutral" | "good" | "warning" | "bad";

  /**
   * `name` has 1 to 60 characters of `a-z`, `0-9`, `.` and hyphen, `value` up to 500 in one line. `url`
   * is where a person reads more; only http and https.
   */
  interface Annotation {
    name: string;
    value: string;
    tone?: Tone;
    url?: string | null;
  }

  type Reason = "denied" | "invalid" | "over-limit" | "host-failed";

  interface AnnotationError {
    reason: Reason;
    message: string;
  }
}

/**
 * Files that are kept with the deployment, shown with it and downloaded: a report, a table, an image.
 * Linked where the manifest asks for it, and denied unless granted; the grant says how many bytes all of
 * the plugin's have together.
 */
export namespace artifacts {
  /**
   * How it is shown: `report` is text or HTML to be read, `table` is CSV or JSON lines, `image` a picture;
   * `file` is only downloaded.
   */
  type Kind = "report" | "table" | "image" | "file";

  /**
   * `name` is a file name: 1 to 100 of letters, digits, `.`, `-` and `_`, not beginning with a dot. It is the
   * plugin's own: another plugin may have the same. `title` is for people.
   */
  interface Artifact {
    name: string;
    kind: Kind;
    mediaType: string;
    title: string;
  }

  type Reason = "denied" | "invalid" | "not-found" | "over-limit" | "host-failed";

  interface ArtifactError {
    reason: Reason;
    message: string;
  }
}

/** A plan is data: the host validates it, shows it, hashes it, caches by it, then carries it out. */
export namespace builder {
  /**
   * What a step starts from: an earlier step's result, an image, an image that the host chooses because it
   * brings these toolchains, or nothing.
   */
  type Base =
    | { tag: "step"; val: string }
    | { tag: "image"; val: string }
    | { tag: "toolchains"; val: Array<types.Toolchain> }
    | { tag: "scratch"; val?: undefined };

  /** How builds that run at the same time share a cache: together, one after another, or each its own. */
  type Sharing = "shared" | "locked" | "private";

  /** A folder of the project that outlives the build, at the absolute path `target`. */
  interface CacheMount {
    id: string;
    target: string;
    sharing?: Sharing;
  }

  /**
   * The source (`from-step` "") or another step's result at an absolute path. What is written to it is thrown
   * away, where it may be written at all.
   */
  interface BindMount {
    fromStep?: string;
    path?: string;
    target: string;
    writable?: boolean;
  }

  /** A variable's value as a file, or in the command's environment; `mode` is the file's. `owner` is the file's user and group, root's without it. */
  interface SecretMount {
    name: string;
    target?: string | null;
    env?: string | null;
    mode?: number;
    owner?: [number, number] | null;
    required?: boolean;
  }

  /** An empty folder in memory. */
  interface TmpfsMount {
    target: string;
    bytesMax?: number | null;
  }

  /** What a command sees beside the step's files. */
  type Mount =
    | { tag: "cache"; val: CacheMount }
    | { tag: "bind"; val: BindMount }
    | { tag: "secret"; val: SecretMount }
    | { tag: "tmpfs"; val: TmpfsMount };

  /**
   * A command; no shell is implied. It has the network only where it says so. Folder and user are the step's
   * where it names none; `timeout-ms` is at most the host's limit.
   */
  interface Run {
    argv?: Array<string>;
    env?: types.KeyValues;
    cwd?: string | null;
    user?: string | null;
    network?: boolean;
    mounts?: Array<Mount>;
    timeoutMs?: number | null;
  }

  /** Where files come from. */
  type Origin =
    | { tag: "source"; val?: undefined }
    | { tag: "step"; val: string }
    | { tag: "image"; val: string };

  /**
   * A copy by globs. Declared paths are what the step's key is made of. `dest` is a folder if it ends in `/`
   * or several files match; with `parents` each match keeps its path below it.
   */
  interface CopyFiles {
    origin?: Origin;
    sources?: Array<string>;
    exclude?: Array<string>;
    dest: string;
    chown?: string | null;
    chmod?: string | null;
    parents?: boolean;
  }

  /** A file that the plan itself brings, at an absolute path. */
  interface WriteFile {
    path: string;
    content?: Uint8Array;
    mode?: number;
    chown?: string | null;
  }

  /** A file that the host downloads, over HTTP or HTTPS; refused where the digest is another. */
  interface Fetch {
    url: string;
    sha256?: string | null;
    dest: string;
    chown?: string | null;
    chmod?: string | null;
  }

  /** An archive that is unpacked into a folder. */
  interface Extract {
    origin?: Origin;
    archive: string;
    dest: string;
  }

  /** A file of the plan, by the name that it has where the destination is a folder. */
  interface InlineFile {
    name: string;
    content?: Uint8Array;
    mode?: number;
  }

  /** A file that the host downloads, by the name that it has where the destination is a folder. */
  interface Download {
    url: string;
    sha256?: string | null;
    name: string;
  }

  /** Where placed files come from. */
  type Placed =
    | { tag: "source"; val?: undefined }
    | { tag: "step"; val: string }
    | { tag: "image"; val: string }
    | { tag: "inline"; val: Array<InlineFile> }
    | { tag: "download"; val: Download };

  /**
   * A copy by the rules of container build files, see the README. `ignore` is an ignore file's content,
   * against paths of the source; `exclude` is against paths below each of `paths`.
   */
  interface Place {
    origin?: Placed;
    paths?: Array<string>;
    ignore?: Array<string>;
    exclude?: Array<string>;
    dest: string;
    chown?: string | null;
    chmod?: string | null;
    parents?: boolean;
    link?: boolean;
    unpack?: boolean;
  }

  /** A directory with its parents; what is there stays as it is. */
  interface MakeDir {
    path: string;
    chown?: string | null;
  }

  /** One operation of a step. */
  type Op =
    | { tag: "run"; val: Run }
    | { tag: "copy"; val: CopyFiles }
    | { tag: "write-file"; val: WriteFile }
    | { tag: "fetch"; val: Fetch }
    | { tag: "extract"; val: Extract }
    | { tag: "place"; val: Place }
    | { tag: "make-dir"; val: MakeDir };

  /**
   * A node of the build graph: its operations in order, on top of its base. Its result is kept, and looked up
   * while nothing of what it declares changes. `id` is the plan's own, `name` is for people; `cwd` and `user`
   * are those of its commands, "" is root.
   */
  interface Step {
    id: string;
    name: string;
    base: Base;
    env?: types.KeyValues;
    cwd?: string;
    user?: string;
    ops?: Array<Op>;
  }

  /** How a process of an image is run, in the form of images. */
  interface RunConfig {
    entrypoint?: Array<string>;
    cmd?: Array<string>;
    env?: types.KeyValues;
    user?: string;
    cwd?: string;
    exposed?: Array<number>;
    volumes?: Array<string>;
    labels?: types.KeyValues;
    stopSignal?: string | null;
    /** every port as images name it: "53/udp"; `exposed` are those that the host may use */
    ports?: Array<string>;
    shell?: Array<string>;
    onbuild?: Array<string>;
    health?: types.HealthCheck | null;
    author?: string | null;
    /** it is whole: nothing is completed from the image at the bottom */
    whole?: boolean;
  }

  /** A step's result as an image. */
  interface ImageOutput {
    step: string;
    config: RunConfig;
  }

  /**
   * A folder of a step's result that the proxy serves. `spa-fallback` answers paths that are not there,
   * `not-found` is what they get with status 404.
   */
  interface StaticOutput {
    step: string;
    root: string;
    spaFallback?: string | null;
    notFound?: string | null;
  }

  /** What an output is. */
  type Artifact =
    | { tag: "image"; val: ImageOutput }
    | { tag: "static-tree"; val: StaticOutput };

  /** A named result of a plan: "app", "site", "migrate". */
  interface Output {
    name: string;
    artifact: Artifact;
  }

  /** A web process listens on `PORT` and gets requests. */
  type ProcessKind = "web" | "worker";

  /** What a deployment runs. Without `argv` it is the output's own command; the first of `ports` becomes `PORT`. */
  interface Process {
    name: string;
    output: string;
    kind?: ProcessKind;
    argv?: Array<string>;
    ports?: Array<number>;
  }

  /**
   * Steps refer to earlier ones only. A plan without processes serves its static tree. `toolchains` are those
   * that were used, for the next deployment's `previous-toolchains`.
   */
  interface BuildPlan {
    steps?: Array<Step>;
    outputs?: Array<Output>;
    processes?: Array<Process>;
    toolchains?: Array<types.Toolchain>;
  }
}

/**
 * A small store that outlives deployments: one for each plugin and project. What was used longest ago goes
 * when it is full, and everything may go at any time. Linked where the manifest asks for it, and denied
 * unless granted, with a number of bytes.
 */
export namespace cache {
  type Reason = "denied" | "invalid" | "over-limit" | "host-failed";

  interface CacheError {
    reason: Reason;
    message: string;
  }
}

/**
 * Anything else, at a hook of the pipeline. It is not pure: its answers are never kept, its clock is the
 * real one, and it may hold grants. It may be run again for the same deployment, after a crash of the host or after
 * a failure: what it does outside must bear that.
 */
export namespace custom {
  /**
   * `after-fetch`: the source and the settings are known, nothing is decided. `after-build`: there is an
   * artifact. `before-switch`: the new version runs, is healthy, and serves nobody; an error fails the
   * deployment if its setting says so. `after-switch`: it is over, well or not; in the background.
   */
  type Hook = "after-fetch" | "after-build" | "before-switch" | "after-switch";

  type State = "running" | "live" | "failed" | "cancelled";

  /** Why the deployment failed, as people are told. */
  interface Failure {
    code: string;
    step?: string | null;
    what: string;
    why: string;
    fix: string;
  }

  type OutputKind = "image" | "static-tree";

  interface Output {
    name: string;
    kind: OutputKind;
  }

  /** `addresses` are where its instances listen in the environment's network: "10.89.1.7:3000" */
  interface Process {
    name: string;
    output: string;
    web?: boolean;
    addresses?: Array<string>;
  }

  /** What is known of the deployment at the hook. */
  interface Facts {
    hook?: Hook;
    /** 1 for the first try */
    attempt?: number;
    project?: string;
    environment?: string;
    /** its id, and its number within the project: what people say */
    deployment?: string;
    number?: number;
    /** who asked for it */
    actor?: string;
    state?: State;
    failure?: Failure | null;
    commit?: string | null;
    commitSubject?: string | null;
    commitAuthor?: string | null;
    detected?: types.Detection | null;
    outputs?: Array<Output>;
    processes?: Array<Process>;
    /** where visitors reach the environment */
    urls?: Array<string>;
    /** number and commit of the version that was live before */
    previousNumber?: number | null;
    previousCommit?: string | null;
    /** the environment's variables that were granted by name and are not secret */
    variables?: types.KeyValues;
  }

  /** What another stage that this one needs has answered. */
  interface Input {
    name: string;
    plugin: string;
    stage: string;
    outputsJson?: string;
  }

  /**
   * What becomes of a run whose time has come while the one before goes on: it is left out, it waits for the end
   * of that one (at most one waits), or it takes its place and that one is ended.
   */
  type Overlap = "skip" | "queue" | "replace";

  /**
   * A command that the host runs at its times for as long as this version is live, each time in a container of its
   * own: of the image, the folder, the variables and the volumes of `process`, without it of the web process.
   * `name` has 1 to 40 of `a-z`, `0-9` and hyphen and is the plugin's own. `cron` has five fields, or is `@hourly`,
   * `@daily`, `@weekly`, `@monthly` or `@yearly`; `timezone` is a name such as "Europe/Vienna", UTC without one.
   * `argv` is not empty; no shell is implied. `timeout-ms` 0 means the host's limit.
   */
  interface Schedule {
    name: string;
    cron: string;
    timezone?: string | null;
    argv?: Array<string>;
    process?: string | null;
    overlap?: Overlap;
    timeoutMs?: number;
  }

  /**
   * Files of a static tree that the proxy answers with 404, though they stay in the artifact. `paths` are globs
   * from the tree's root: `*` does not cross a slash, `**` does.
   */
  interface Withheld {
    output: string;
    paths?: Array<string>;
  }

  /**
   * `summary` is one line for people. `outputs-json` is an object for stages that need what this one
   * provides, at most 256 KiB; "" is an empty one. `skipped`: there was nothing to do, and the summary says why.
   * `schedules` and `withheld` are of this version alone, and only a stage at `after-build` has any.
   */
  interface Outcome {
    skipped?: boolean;
    summary: string;
    outputsJson?: string;
    schedules?: Array<Schedule>;
    withheld?: Array<Withheld>;
  }
}

/** What is this application? Every detector is asked, and one answer is chosen. */
export namespace detector {
  /** what nearly matched, and why not; shown when nothing matches */
  interface NearMiss {
    id: string;
    reason: string;
  }

  /** What was recognised, and what nearly was. A source of another kind is an empty report, no error. */
  interface Report {
    detections?: Array<types.Detection>;
    nearMisses?: Array<NearMiss>;
  }
}

/**
 * Commands in a container, never on the host. The container is a fresh one that is removed with the
 * command: it has the network of the deployment's environment, none of its volumes, and of its variables
 * those that the command names. Linked where the manifest asks for it, and denied unless granted; the
 * grant says where commands may run.
 */
export namespace exec {
  /** What the container is made of: an output of the build, by its name, or an image that the host pulls. */
  type Place =
    | { tag: "output"; val: string }
    | { tag: "image"; val: string };

  /**
   * `argv` is looked up in the PATH of the image; no shell is implied. `env` is laid over the image's.
   * `variable-names` are variables of the environment that the command gets too; each must be granted.
   * `stdin` is all that it reads. Of each stream the last `tail-bytes-max` bytes come back, 0 for the
   * host's number. The output also goes to the deployment's log, unless `quiet`. `timeout-ms` 0 means
   * the host's limit.
   */
  interface Command {
    place: Place;
    argv?: Array<string>;
    cwd?: string | null;
    env?: types.KeyValues;
    variableNames?: Array<string>;
    stdin?: Uint8Array;
    timeoutMs?: number;
    tailBytesMax?: number;
    quiet?: boolean;
  }

  /** `code` is 128 and the signal where a signal ended it. `timed-out`: the host ended it. */
  interface Exit {
    code: number;
    timedOut?: boolean;
    outOfMemory?: boolean;
    tookMs: number;
    stdoutTail?: Uint8Array;
    stderrTail?: Uint8Array;
    stdoutBytes: number;
    stderrBytes: number;
  }

  /** `not-found`: no such output or image. `not-started`: the container could not be made, or has no such program. */
  type Reason = "denied" | "not-found" | "not-started" | "over-limit" | "host-failed";

  interface ExecError {
    reason: Reason;
    message: string;
  }

  type Pipe = "stdout" | "stderr";

  interface Line {
    pipe: Pipe;
    text: string;
  }

  /** `ended`: nothing more will come. `dropped` counts lines that were not taken in time. */
  interface Batch {
    lines?: Array<Line>;
    ended?: boolean;
    dropped: number;
  }

  /** A command that runs beside the plugin. Dropping it ends the command. */
  type Process = object;
}

/**
 * `policy-for` says what to probe and how often; `judge` decides, over all that was seen so far.
 * The host tries the first probe, asks the judge, and does what it says, until `pass` or `fail` or
 * until the budget is used up.
 */
export namespace health {
  /** Statuses from `first` to `last`, both included. */
  interface StatusRange {
    first: number;
    last: number;
  }

  /** GET of a path, at a port or at what the process was told in PORT. Passes by the policy's `pass-status`. */
  interface HttpProbe {
    process: string;
    port?: number | null;
    path: string;
    headers?: types.KeyValues;
    redirectsMax?: number;
  }

  /** A command in the process's container; 0 passes. */
  interface CommandProbe {
    process: string;
    argv?: Array<string>;
  }

  /** A connection, at a port or at what the process was told in PORT. */
  interface TcpProbe {
    process: string;
    port?: number | null;
  }

  /** The process is still up after so long. */
  interface UpProbe {
    process: string;
    staysUpMs: number;
  }

  /** One way of asking whether a process is well. */
  type Probe =
    | { tag: "http"; val: HttpProbe }
    | { tag: "tcp"; val: TcpProbe }
    | { tag: "command"; val: CommandProbe }
    | { tag: "stays-up"; val: UpProbe };

  /**
   * What to probe, and how often: `first-after-ms` before the first probe, pauses between the two intervals,
   * `timeout-ms` for one try, `budget-ms` for all of them.
   */
  interface Policy {
    probes?: Array<Probe>;
    passStatus?: Array<StatusRange>;
    firstAfterMs: number;
    intervalMinMs: number;
    intervalMaxMs: number;
    timeoutMs: number;
    budgetMs: number;
  }

  /**
   * What one try saw. `exited`: the instance itself ended. `command-failed`: a command probe ended with this code.
   * `wrong-address`: it listens, but only on the loopback address or on another port.
   */
  type Outcome =
    | { tag: "status"; val: number }
    | { tag: "ok"; val?: undefined }
    | { tag: "refused"; val?: undefined }
    | { tag: "reset"; val?: undefined }
    | { tag: "timeout"; val?: undefined }
    | { tag: "exited"; val: number }
    | { tag: "out-of-memory"; val?: undefined }
    | { tag: "wrong-address"; val?: undefined }
    | { tag: "command-failed"; val: number };

  /** One try: the probe's place in the policy, when (since the start), how long, what was seen. */
  interface Observation {
    probe: number;
    atMs: number;
    tookMs: number;
    outcome: Outcome;
  }

  /**
   * What to do next. `wait`: pause, then begin again at the first probe; the pause grows from `interval-min-ms` by a
   * quarter each time, up to `interval-max-ms`.
   * `next`: try the next probe at once; behind the last one it means `wait`.
   */
  type Verdict =
    | { tag: "wait"; val?: undefined }
    | { tag: "next"; val?: undefined }
    | { tag: "pass"; val?: undefined }
    | { tag: "fail"; val: string };

  /**
   * What the deployment runs; `port` is what a web process is told in PORT
   * and `check` how its image says that it is asked
   */
  interface Process {
    name: string;
    web?: boolean;
    port?: number | null;
    check?: types.HealthCheck | null;
  }
}

/**
 * Requests over HTTP and HTTPS. Linked where the manifest asks for it, and denied unless granted; hosts and
 * methods come from the grant. The name is resolved once and the request goes to that address; addresses of
 * this machine, of private networks and of a cloud's metadata are refused unless the operator granted
 * exactly them.
 */
export namespace http {
  /**
   * `{{NAME}}` in `url`, in values of `headers` and in `body` is replaced by the value of the variable NAME
   * where `secret-names` has it; each must be granted. The value itself never reaches the plugin: it is
   * also taken out of the answer. `response-bytes-max` and `timeout-ms` 0 mean the host's limit; the time
   * is that of all redirects together. `redirects-max` 0 follows none: the redirect is the answer.
   */
  interface Request {
    method?: string;
    url: string;
    headers?: types.KeyValues;
    body?: Uint8Array;
    secretNames?: Array<string>;
    responseBytesMax?: number;
    timeoutMs?: number;
    redirectsMax?: number;
  }

  /**
   * `url` is where the answer came from in the end. Every status is an answer. Names of headers are in
   * lower case; one that came twice is there twice.
   */
  interface Response {
    status: number;
    url: string;
    headers?: types.KeyValues;
    body?: Uint8Array;
  }

  /**
   * `denied`: not granted, or an address that is refused; also where a redirect led there. `over-limit`: one
   * call may not send so many.
   */
  type Reason = "denied" | "invalid" | "not-resolved" | "not-connected" | "tls" | "timed-out" | "too-large" | "too-many-redirects" | "protocol" | "over-limit" | "host-failed";

  interface HttpError {
    reason: Reason;
    message: string;
  }
}

/**
 * What a base image brings (a Dockerfile's `ENV PATH=/x:$PATH`, ONBUILD, inherited USER and
 * SHELL need it). The host pins the digest, which then is part of the answer's cache key.
 */
export namespace images {
  /**
   * The configuration of an image. `digest` is what the reference stood for when it was asked: a plan names
   * the image by it. `exposed` are ports as images name them: "8080/tcp".
   */
  interface ImageConfig {
    digest?: string;
    env?: types.KeyValues;
    entrypoint?: Array<string>;
    cmd?: Array<string>;
    user?: string;
    cwd?: string;
    shell?: Array<string>;
    onbuild?: Array<string>;
    exposed?: Array<string>;
    volumes?: Array<string>;
    labels?: types.KeyValues;
    stopSignal?: string | null;
    health?: types.HealthCheck | null;
    author?: string | null;
  }

  /** Why there is none. `denied`: the registry wants a login that the project does not have. */
  type ImageError = "not-found" | "denied" | "unreachable" | "unsupported-platform";
}

/** Always linked. Bounded by the host; what is dropped is counted and reported. */
export namespace log {
  /** `debug` is for the plugin's author, `info` for whoever deploys. */
  type Level = "debug" | "info" | "warn" | "error";
}

/** How is the database migrated? Every migrator is asked, whatever plugin detected the application. */
export namespace migrator {
  /** Run it, or leave it for this reason: the application migrates itself at boot, there are no migrations, ... */
  type Verdict =
    | { tag: "run"; val?: undefined }
    | { tag: "leave"; val: string };

  /** A migration that was found. */
  interface Migration {
    /** which tool, for people */
    tool: string;
    /** in which of the plan's outputs it runs */
    output: string;
    /** the command; no shell is implied */
    argv?: Array<string>;
    /** where, absolute in the image */
    cwd: string;
    /** the signs */
    evidence?: Array<types.Evidence>;
    /** whether to run it */
    verdict: Verdict;
  }
}

/**
 * How traffic is moved from the version that serves to the new one. Pure: it is asked again and again, and
 * decides from what both show.
 */
export namespace rollout {
  /**
   * What one version answered since the last change of the weight. An error is a status of 500 or
   * above, or no answer at all.
   */
  interface Sample {
    requests: number;
    errors: number;
    p50Us: number;
    p99Us: number;
  }

  /** Weights are the new version's share of the requests in hundredths of a percent: 0 to 10000. */
  interface State {
    weight: number;
    elapsedMs: number;
    atWeightMs: number;
    serving: Sample;
    candidate: Sample;
  }

  /**
   * `shift`: go to this weight. `hold`: ask again in so many milliseconds. `finish`: the new version takes over.
   * `abort`: back to the version that serves, for this reason.
   */
  type Decision =
    | { tag: "shift"; val: number }
    | { tag: "hold"; val: number }
    | { tag: "finish"; val?: undefined }
    | { tag: "abort"; val: string };
}

/**
 * Always linked. A batch view of the source beside the read-only /src preopen,
 * so that a detector needs one call and not five hundred.
 * All paths are relative to the root of the source, with forward slashes, and never leave it: a
 * symlink is listed as a symlink, and followed only while it stays inside.
 */
export namespace source {
  /** What an entry is; a symlink is not followed. */
  type Kind = "file" | "directory" | "symlink" | "other";

  /** `path` is from the source's root; `size` in bytes, 0 for what is no file. */
  interface Entry {
    path: string;
    kind: Kind;
    size: number;
  }

  /**
   * `under` is a folder, "" for the root. A direct child has depth 1; 0 means no limit. `globs` are
   * matched against the path relative to `under`, `*` does not cross a slash, none means everything.
   * `limit` 0 means the host's limit. `.git` is never listed, nor is anything below it.
   */
  interface ListOptions {
    under: string;
    maxDepth: number;
    globs?: Array<string>;
    limit: number;
  }

  /** sorted by path */
  interface Listing {
    entries?: Array<Entry>;
    truncated?: boolean;
  }

  /** `denied`: the path leaves the source. `io`: reading failed, or the request was malformed. */
  type ReadError = "not-found" | "not-a-file" | "too-large" | "denied" | "io";
}

export namespace types {
  /** Names and values, in order. */
  type KeyValues = Array<[string, string]>;

  /** A failure on purpose (not a trap). */
  interface PluginError {
    /** stable, documented, dot-separated: "node.lockfile-missing" */
    code: string;
    /** what is wrong */
    message: string;
    /** what the person can do about it */
    hint?: string | null;
    /** whether another try may help; such an answer is never kept */
    retryable?: boolean;
  }

  /**
   * All that a pure call may know. Nothing in it names a deployment, so answers are cached by
   * (component digest, interface version, source tree digest, this record).
   */
  interface Context {
    /** "linux/amd64" */
    platform?: string;
    /** path of the application inside the source, "" for the root */
    appDir?: string;
    /** the application's settings, as JSON; the README gives the shape */
    configJson?: string;
    /**
     * what was set for this plugin, or for this custom stage, as a JSON object; the plugin's manifest says
     * what there is to set. "{}" where nothing is
     */
    optionsJson?: string;
    /** names only, never values */
    variableNames?: Array<string>;
    /** services of the environment */
    services?: Array<Service>;
    /** toolchain versions of the last live deployment, so that a moved default changes no app */
    previousToolchains?: Array<Toolchain>;
  }

  /** A service, by the name that it resolves under; `kind` is "postgres", "redis", ... or "". */
  interface Service {
    name: string;
    kind: string;
    variableNames?: Array<string>;
  }

  /** A runtime of a language: name "node", requirement ">=20 <23", "22.11.0" or "" for the default. */
  interface Toolchain {
    name: string;
    requirement?: string;
  }

  /**
   * How an image says that its process is asked whether it is well, in the form of images: `test` is
   * ["NONE"], ["CMD", program, argument, ...] or ["CMD-SHELL", line]; 0 stands for the usual value.
   */
  interface HealthCheck {
    test?: Array<string>;
    intervalMs?: number;
    timeoutMs?: number;
    startPeriodMs?: number;
    startIntervalMs?: number;
    retries?: number;
  }

  /** A sign that was found: its file, and, where it helps, the key or line. */
  interface Evidence {
    path: string;
    detail?: string;
  }

  /**
   * What a detector recognised. It lives here and not in the detector's package because the later
   * stages get it back: a migrator must not import the detector to name its argument.
   */
  interface Detection {
    /** stable id: "nextjs" */
    id: string;
    /** for people: "Next.js" */
    name: string;
    /** "node", "python", ... */
    ecosystem: string;
    /** what it needs */
    toolchains?: Array<Toolchain>;
    /** 0 to 100; the README of the contract says what the bands mean */
    confidence?: number;
    /** the signs */
    evidence?: Array<Evidence>;
    /** ids that this one is a special case of: "node" */
    supersedes?: Array<string>;
    /**
     * the application's folder from the source's root, where it is not that of the context: the member of a
     * workspace that was chosen. Migrators and health components look there
     */
    appDir?: string | null;
    /** the plugin's own notes for its builder; opaque to the host */
    notesJson?: string;
    /**
     * recognised, but it cannot be built: if this detection is chosen, the deployment fails with
     * this error, so that nothing else builds the application as something it is not
     */
    refusal?: PluginError | null;
  }
}
