#!/usr/bin/env bash
# What a pipeline's step runs: docs/ci/audit.sh push | compare | certify | update-baseline
#
# push      a sequential audit, which stops as soon as it can decide: minutes
# compare   this model against the baseline in the repository, for pull requests
# certify   green only if it is shown that the model is within the budget, for the night
# update-baseline   writes the baseline, which is then reviewed and committed like any other file
#
# AUDITS, BASELINE, PRIVAUDIT_STORE and REPORTS name the folders; what follows the first argument
# is passed on to pytest.
set -euo pipefail

mode="${1:?name what to do: push, compare, certify or update-baseline}"
shift
audits="${AUDITS:-audits}"
baseline="${BASELINE:-$audits/baselines}"
reports="${REPORTS:-.privaudit/reports}"
mkdir -p "$reports"

case "$mode" in
  push) options=(--privaudit-sequential) ;;
  compare) options=("--privaudit-baseline=$baseline") ;;
  certify) options=(--privaudit-gate=certify "--privaudit-history=${HISTORY:-.privaudit/history}") ;;
  update-baseline) options=("--privaudit-baseline=$baseline" --privaudit-update-baseline) ;;
  *) echo "$mode is none of push, compare, certify, update-baseline" >&2; exit 2 ;;
esac

exec python -m pytest "$audits" --privaudit-strict "${options[@]}" \
  "--privaudit-store=${PRIVAUDIT_STORE:-.privaudit/store}" \
  "--privaudit-json=$reports/$mode.json" "--junitxml=$reports/$mode.xml" "$@"
