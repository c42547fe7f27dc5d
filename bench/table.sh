#!/usr/bin/env bash
# Puts the table of a file of bench/results, the newest unless one is named, between the marks in a document.
set -euo pipefail
document=$1
results=${2:-}
if [ -z "$results" ]; then
  # The first line of each begins with its moment.
  results=$(head -qn 1 bench/results/*.md | sort | tail -n 1)
  results=$(grep -lxF -- "$results" bench/results/*.md | tail -n 1)
fi
grep -q '^<!-- bench -->$' "$document" || { echo "$document has no mark <!-- bench -->" >&2; exit 1; }
awk -v results="$results" '
  $0 == "<!-- bench -->" {
    print
    while ((getline line < results) > 0) {
      if (line == "<!-- /bench -->") inside = 0
      if (inside) print line
      if (line == "<!-- bench -->") inside = 1
    }
    print "\nAll figures of this run: [" results "](" results ")."
    skipping = 1
  }
  $0 == "<!-- /bench -->" { skipping = 0 }
  !skipping { print }
' "$document" >"$document.new"
mv "$document.new" "$document"
echo "$document has the table of $results"
