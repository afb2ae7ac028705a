"""What is answered about the build cache."""

from cais.build.cacheentries import Entry
from cais.engine.models import timestamp


def cache_record(entry: Entry) -> dict[str, object]:
    """One record of the build cache."""
    return {
        "ID": entry.id,
        "Parents": [entry.parent] if entry.parent else [],
        "Type": entry.kind,
        "Description": entry.description,
        "InUse": entry.in_use,
        "Shared": entry.shared,
        "Size": entry.size_bytes,
        "CreatedAt": timestamp(entry.created_ns),
        "LastUsedAt": timestamp(entry.last_used_ns),
        "UsageCount": entry.uses,
    }
