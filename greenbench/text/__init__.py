"""Text: named, versioned normalisers, and the counting of edits."""
