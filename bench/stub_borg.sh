#!/bin/bash
# Answers as Borg 1.2 does where snapd-backup and borgmatic look, stores nothing but names, and notes its calls:
# began, ended (seconds since the epoch), status, words. The names are in the file "archives" beside us.
began=$EPOCHREALTIME
here=${0%/*}
archives=$here/archives
command=
location=
rest=()
for word; do
    case $word in
        -*) ;;
        *) if [ -z "$command" ]; then command=$word; else rest+=("$word"); fi ;;
    esac
    case $word in *::*) location=$word ;; esac
    case $word in --glob-archives=*) glob=${word#*=} ;; esac
    case $word in --dry-run) dry=1 ;; esac
done

case ${command:-$*} in
    create)
        if [ -z "$dry" ]; then
            printf -v now '%(%Y-%m-%dT%H:%M:%S.000000)T' -1
            printf '%s %s\n' "${location#*::}" "$now" >>"$archives"
            printf '{"archive": {"name": "x", "stats": {"original_size": 1000, "deduplicated_size": 10,'
            printf ' "nfiles": 1}}, "encryption": {"mode": "repokey-blake2"}}\n'
        fi ;;
    list)
        comma=
        printf '{"archives": ['
        while read -r name start; do
            if [ -z "$glob" ] || [[ $name == $glob ]]; then
                printf '%s{"name": "%s", "start": "%s"}' "$comma" "$name" "$start"
                comma=,
            fi
        done <"$archives"
        printf ']}\n' ;;
    delete)
        declare -A gone
        for name in "${rest[@]:1}"; do gone[$name]=1; done
        while read -r name start; do
            [ -n "${gone[$name]}" ] || printf '%s %s\n' "$name" "$start"
        done <"$archives" >"$archives.new"
        mv "$archives.new" "$archives"
        pause=$((@DELETE_MS@ * ${#gone[@]}))
        printf -v pause '%d.%03d' $((pause / 1000)) $((pause % 1000))
        sleep "$pause" ;;
    *--version*) echo "borg 1.2.4" ;;
    *) echo '{}' ;;
esac
printf '%s\t%s\t%s\t%s\n' "$began" "$EPOCHREALTIME" 0 "$*" >>"$here/calls"
