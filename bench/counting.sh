#!/bin/bash
# The real program, and a line in the file "calls" beside us: began, ended (seconds since the epoch), status, words.
began=$EPOCHREALTIME
@REAL@ "$@"
status=$?
printf '%s\t%s\t%s\t%s\n' "$began" "$EPOCHREALTIME" "$status" "$*" >>"${0%/*}/calls"
exit $status
