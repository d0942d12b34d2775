#!/usr/bin/env bash
# Live prices in a shell: server-sent events with curl, one line for each change.
# usage: ticker.sh [URL [SYMBOL]], such as ticker.sh http://127.0.0.1:8080 'sim:*'
set -euo pipefail
url=${1:-http://127.0.0.1:8080}
symbol=${2:-sim:*}
curl --silent --show-error --fail --no-buffer --get "$url/v1/sse" \
  --data channel=ticker --data fields=last --data max_rate=4 --data-urlencode "symbol=$symbol" |
  sed -un 's/^data: .*"symbol":"\([^"]*\)".*"last":"\([^"]*\)".*/\1 \2/p'
