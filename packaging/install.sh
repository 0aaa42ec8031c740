#!/bin/sh
# Installs ClipsMaster from its unpacked archive, or uninstalls it.
#
#   ./install.sh [--prefix DIR]              install or upgrade; without --prefix in /usr/local
#   ./install.sh --uninstall [--prefix DIR]  remove what was installed; a policy file that was changed stays
#
# PREFIX/lib/clipsmaster/ keeps this script, the list of what was installed (manifest), and of the folders made for it.
# shellcheck disable=SC2094 # the lists are only read
set -eu
umask 022

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# Whether the file of the prefix is as the manifest $1 has it.
is_unchanged() {
    [ ! -L "$prefix/$2" ] && grep -qxF "$(sha256sum <"$prefix/$2" | cut -c1-64)  $2" "$1"
}

is_listed() {
    [ -f "$1" ] && cut -c67- "$1" | grep -qxF "$2"
}

is_there() {
    [ -e "$prefix/$1" ] || [ -L "$prefix/$1" ]
}

check_writable() {
    folder=$1
    until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
    [ -w "$folder" ] || fail "cannot write to $folder; use sudo, or --prefix \"\$HOME/.local\""
}

# The host loads no plugin that somebody else could replace: see "Trust" in the README.
check_trust() {
    folder=$prefix/lib/clipsmaster/plugins
    until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
    folder=$(cd "$folder" && pwd -P)
    # What root installs is for all users; a user's own group is its own.
    group='-perm -0020'
    [ "$(id -u)" = 0 ] || group="$group ! -group $(id -g)"
    while :; do
        # shellcheck disable=SC2086 # a list of words
        loose=$(find "$folder" -prune ! \( -user 0 -perm -1000 \) \
            \( -perm -0002 -o $group -o ! -user 0 ! -user "$(id -u)" \))
        [ -z "$loose" ] || fail "plugins would not be loaded from there: $folder is writable by others or belongs to" \
            "another user; \`chmod go-w\` it, install as that user, or choose another --prefix"
        [ "$folder" != / ] || break
        folder=$(dirname "$folder")
    done
}

make_folder() {
    [ ! -d "$1" ] || return 0
    make_folder "$(dirname "$1")"
    mkdir "$1"
    # The list lies in one of the folders that are made.
    made="$made$1
"
}

# Removes a file of the manifest $1, but for a configuration that was changed.
remove() {
    case $2 in /* | ../* | */../*) fail "$1 is damaged: it lists $2" ;; esac
    case $2 in
    etc/*)
        if is_there "$2" && ! is_unchanged "$1" "$2"; then
            echo "kept, because it was changed: $prefix/$2"
            return
        fi
        ;;
    esac
    rm -f "$prefix/$2"
}

install_files() {
    new=$here/lib/clipsmaster/manifest
    [ -f "$new" ] || fail "run the install.sh at the top of an unpacked archive"
    (cd "$here" && sha256sum --quiet -c "$new") || fail "the archive is damaged; unpack it again"
    check_trust
    while read -r _ path; do
        check_writable "$(dirname "$prefix/$path")"
        case $path in etc/*) continue ;; esac
        if is_there "$path" && ! is_listed "$manifest" "$path" && ! is_unchanged "$new" "$path"; then
            fail "$prefix/$path is not of this installation; remove it, or choose another --prefix"
        fi
    done <"$new"

    made=''
    while read -r _ path; do
        target=$prefix/$path
        make_folder "$(dirname "$target")"
        mode=644
        case $path in
        bin/* | *.sh) mode=755 ;;
        etc/*)
            if is_there "$path" && ! { [ -f "$manifest" ] && is_unchanged "$manifest" "$path"; }; then
                is_unchanged "$new" "$path" || echo "kept, because it was changed: $target (new: $here/$path)"
                continue
            fi
            ;;
        esac
        install -m "$mode" "$here/$path" "$target.new"
        mv -fT "$target.new" "$target"
    done <"$new"
    printf %s "$made" >>"$folders"

    if [ -f "$manifest" ]; then
        while read -r _ path; do
            is_listed "$new" "$path" || remove "$manifest" "$path"
        done <"$manifest"
    fi
    install -m 644 "$new" "$manifest"
    echo "installed $("$prefix/bin/clipsmaster-host" --version) in $prefix"
    echo "to uninstall: \"$prefix/lib/clipsmaster/install.sh\" --uninstall"
    case :$PATH: in
    *:"$prefix/bin":*) ;;
    *) echo "add $prefix/bin to your PATH" ;;
    esac
}

uninstall_files() {
    [ -f "$manifest" ] || fail "nothing is installed in $prefix; name another --prefix"
    while read -r _ path; do
        [ ! -d "$(dirname "$prefix/$path")" ] || check_writable "$(dirname "$prefix/$path")"
    done <"$manifest"
    while read -r _ path; do
        remove "$manifest" "$path"
    done <"$manifest"
    made=$(sort -r "$folders")
    rm -f "$manifest" "$folders"
    # Those that hold something else stay.
    printf '%s\n' "$made" | while IFS= read -r folder; do
        rmdir "$folder" 2>/dev/null || :
    done
    echo "uninstalled from $prefix"
}

main() {
    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
    prefix=/usr/local
    # The copy that was installed.
    [ ! -f "$here/manifest" ] || prefix=${here%/lib/clipsmaster}
    action=install_files
    while [ $# -gt 0 ]; do
        case $1 in
        --prefix)
            [ -n "${2-}" ] || fail "--prefix needs a folder"
            prefix=$2
            shift
            ;;
        --prefix=?*) prefix=${1#--prefix=} ;;
        --uninstall) action=uninstall_files ;;
        *) fail "unknown argument $1; there are --prefix DIR and --uninstall" ;;
        esac
        shift
    done
    case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
    prefix=${prefix%/}
    manifest=$prefix/lib/clipsmaster/manifest
    folders=$prefix/lib/clipsmaster/folders
    $action
}

main "$@"
