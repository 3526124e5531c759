"""Refuses sources that hold private keys: a custom stage at the hook `after-fetch`."""

from windlass_plugin import Context, Custom, PluginError, Source, annotations, done, options, skipped
from windlass_plugin.contract.custom import Facts, Input, Outcome

#: Files that are looked into.
LOOKED_INTO = ("**/*.pem", "**/*.key", "**/id_*")


class Plugin(Custom):
    """The plugin: a class that derives from each stage that it fills."""

    def run(
        self, stage: str, ctx: Context, source: Source, facts: Facts, inputs: list[Input]
    ) -> Outcome:
        # Files that may be there, keys of tests: `options` of `[[stages]]` in windlass.toml.
        allow = options(ctx).get("allow", [])
        files = source.files(LOOKED_INTO)
        if not files:
            return skipped("there is no file that could be a key")
        source.prefetch(files)
        for file in files:
            if file not in allow and "PRIVATE KEY-----" in (source.text(file) or ""):
                hint = "take it out of the source, and replace it: it is known now"
                raise PluginError("my-plugin.private-key", f"{file} is a private key", hint)
        annotations.note("keys", f"none; files looked into: {len(files)}")
        # What stages that need `keys` get.
        return done("there is no private key", {"looked_at": len(files)})
