//! The labels' names and ours: one table for languages, one for frameworks.

/// A label's language, and the ecosystems that answer it. What is not listed has one name.
const LANGUAGES: &[(&str, &[&str])] = &[
    ("golang", &["go"]),
    ("go", &["go"]),
    ("staticfile", &["static"]),
    ("static", &["static"]),
    // Bun runs Node.js applications; it is one ecosystem to us.
    ("node", &["node"]),
    ("nodejs", &["node"]),
    ("bun", &["node"]),
    ("javascript", &["node"]),
    // The labels' builders for the JVM make no difference between the two.
    ("java", &["java", "kotlin"]),
    ("kotlin", &["java", "kotlin"]),
    ("cpp", &["cpp", "c"]),
    ("c", &["c", "cpp"]),
    ("dotnet", &["dotnet"]),
    ("dotnet-core", &["dotnet"]),
    ("csharp", &["dotnet"]),
    ("fsharp", &["dotnet"]),
    ("shell", &["shell"]),
];

/// A label's framework, and the ids that answer it. What is not listed has one name.
const FRAMEWORKS: &[(&str, &[&str])] = &[
    ("nextjs", &["nextjs"]),
    ("nuxtjs", &["nuxt"]),
    ("hydrogen", &["hydrogen"]),
    ("hydrogen-2", &["hydrogen"]),
    ("sanity", &["sanity"]),
    ("sanity-v2", &["sanity"]),
    ("sanity-v3", &["sanity"]),
    ("solidstart", &["solidstart"]),
    ("solidstart-1", &["solidstart"]),
    ("docusaurus", &["docusaurus"]),
    ("docusaurus-2", &["docusaurus"]),
    ("sveltekit", &["sveltekit"]),
    ("sveltekit-1", &["sveltekit"]),
    ("create-react-app", &["create-react-app", "cra"]),
    ("ionic-react", &["ionic-react", "ionic"]),
    ("ionic-angular", &["ionic-angular", "ionic"]),
    ("react-router", &["react-router"]),
    // Templates of one tool: that it is Vite decides how it is built and served.
    ("vite-react", &["vite-react", "vite"]),
    ("vite-vue", &["vite-vue", "vite"]),
    ("vite-svelte", &["vite-svelte", "vite"]),
    ("vue", &["vue", "vue-cli", "vite"]),
    ("vuejs", &["vue", "vue-cli"]),
    ("preact", &["preact", "preact-cli"]),
    ("saber", &["saber"]),
    ("umijs", &["umi", "umijs"]),
    ("gatsby", &["gatsby"]),
    ("middleman", &["middleman"]),
    ("tanstack-start", &["tanstack-start"]),
];

/// Whether an ecosystem answers a label's language.
pub(crate) fn language_is(label: &str, ecosystem: &str) -> bool {
    answers(LANGUAGES, label, ecosystem)
}

/// Whether a detection's id answers a label's framework.
pub(crate) fn framework_is(label: &str, id: &str) -> bool {
    answers(FRAMEWORKS, label, id)
}

fn answers(table: &[(&str, &[&str])], label: &str, answer: &str) -> bool {
    let listed = table.iter().find(|(name, _)| *name == label);
    listed.map_or(label == answer, |(_, ours)| ours.contains(&answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_our_names() {
        assert!(language_is("golang", "go") && language_is("java", "kotlin"));
        assert!(language_is("cpp", "c") && language_is("elixir", "elixir"));
        assert!(!language_is("node", "static") && !language_is("ruby", "node"));
        assert!(framework_is("nuxtjs", "nuxt") && framework_is("vite-react", "vite"));
        assert!(framework_is("astro", "astro") && !framework_is("astro", "vite"));
    }
}
