//! Who carries out the jobs of Celery and its like: what to say where no process does.

use windlass_plugin_common::queues;

use crate::code;
use crate::django;
use crate::facts::Facts;
use crate::framework::in_folder;

/// Files that are searched.
const SEARCHED_MAX: usize = 100;

/// A library of queues: its package, its name, what makes its application (nothing where jobs are marked with
/// `sign`), and the command line for `{module}` and its object `{name}`.
struct Queue {
    package: &'static str,
    name: &'static str,
    constructors: &'static [&'static str],
    sign: &'static str,
    line: &'static str,
}

const QUEUES: [Queue; 5] = [
    Queue {
        package: "celery",
        name: "Celery",
        constructors: &["Celery"],
        sign: "",
        line: "celery -A {module} worker",
    },
    Queue {
        package: "huey",
        name: "Huey",
        constructors: &["Huey", "RedisHuey", "SqliteHuey", "PriorityRedisHuey", "RedisExpireHuey"],
        sign: "",
        line: "huey_consumer {module}.{name}",
    },
    Queue {
        package: "dramatiq",
        name: "Dramatiq",
        constructors: &[],
        sign: "@dramatiq.actor",
        line: "dramatiq {module}",
    },
    Queue {
        package: "arq",
        name: "arq",
        constructors: &[],
        sign: "class WorkerSettings",
        line: "arq {module}.WorkerSettings",
    },
    Queue {
        package: "rq",
        name: "RQ",
        constructors: &[],
        sign: "from rq import Queue",
        line: "rq worker --url \"$REDIS_URL\"",
    },
];

/// What to say of jobs that no process carries out: with the first file that makes a queue.
pub(crate) fn hint(facts: &Facts) -> Option<String> {
    let declared: Vec<&Queue> =
        QUEUES.iter().filter(|queue| facts.declares(queue.package)).collect();
    if declared.is_empty() {
        return None;
    }
    // Files of tasks start nothing else, and are no candidates.
    let tasks = facts.files.iter().map(String::as_str).filter(|file| {
        file.ends_with("tasks.py") && !file.contains("test") && !file.contains("example")
    });
    let files: Vec<&str> = facts.candidates().into_iter().chain(tasks).take(SEARCHED_MAX).collect();
    facts.source.prefetch(&files);
    let (queue, file, name) = declared.into_iter().find_map(|queue| {
        files.iter().find_map(|file| Some((queue, *file, made(queue, &facts.text(file))?)))
    })?;
    let (folder, module) = place(facts, file);
    let line = queue.line.replace("{module}", &module).replace("{name}", &name);
    let library = format!("{} in {file}", queue.name);
    queues::hint(&facts.declared, &library, &[queue.package], &in_folder(&folder, line))
}

/// The folder to start in, and the name of a file's module there: Django's own are named from beside manage.py.
fn place(facts: &Facts, file: &str) -> (String, String) {
    let manage = django::manage(facts).filter(|_| facts.declares("django"));
    let folder = manage.as_deref().map(|manage| manage.trim_end_matches("manage.py"));
    match folder.and_then(|folder| Some((folder, file.strip_prefix(folder)?))) {
        Some((folder, rest)) => {
            let module = rest.trim_end_matches(".py").trim_end_matches("/__init__");
            (folder.trim_end_matches('/').to_owned(), module.replace('/', "."))
        }
        None => code::module(facts, file),
    }
}

/// The name of the object that a file makes for the library, empty where there is none; nothing if it makes none.
fn made(queue: &Queue, text: &str) -> Option<String> {
    if queue.constructors.is_empty() {
        return text.contains(queue.sign).then(String::new);
    }
    let imported = code::imports(text, queue.package);
    let object =
        code::object(text, queue.constructors).filter(|object| !object.factory && imported);
    object.map(|object| object.name)
}
