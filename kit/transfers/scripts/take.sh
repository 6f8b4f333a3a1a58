# take ROOT BATCH HELD KEY...: hash each artifact of a batch, and rename it into place; print "KEY taken", or why not.
# HELD is the job whose lock is held for the batch.
set -eu
root=$1 batch=$1/tmp/$2 held=$3
shift 3
command -v sha256sum >/dev/null || { echo "sha256sum is missing on the other host; install GNU coreutils" >&2; exit 1; }

# Tell whether an artifact came whole: all files of its list of hashes, and nothing else.
is_whole() {
    lines=$(grep -c . <"$batch/$1.sums") || return 1
    (cd -- "$batch/$1" && [ "$(find . ! -type d | wc -l)" -eq "$lines" ] && [ "$(find . -type f | wc -l)" -eq "$lines" ] &&
        sha256sum --quiet --status -c "../$1.sums")
}

# Move an artifact's checked folder into its place, which is free, or that of one that gave its files back.
place() {
    new=$batch/$1 old=$root/artifacts/$1 aside=$root/tmp/$1.former.$$
    [ -e "$root/jobs/$1.json" ] || mv -T -- "$batch/$1.job" "$root/jobs/$1.json" || return 1
    chmod 755 "$new" || return 1
    if [ ! -e "$old" ]; then
        mv -T -- "$new" "$old" || return 1
    elif [ -e "$old/artifact.released.json" ] && [ ! -e "$new/artifact.released.json" ]; then
        mv -T -- "$old" "$aside" || return 1
        if [ ! -e "$aside/artifact.released.json" ] || ! mv -T -- "$new" "$old"; then
            mv -T -- "$aside" "$old" # another process was first
            return 1
        fi
        rm -f -- "$aside/artifact.json" # first: what has a head is whole, and may be put back
        rm -rf -- "$aside"
    else
        echo "$1 there"
        return
    fi
    echo "$1 taken"
}

for key in "$@"; do
    if [ ! -d "$batch/$key" ] || [ ! -f "$batch/$key.sums" ]; then echo "$key gone"
    elif is_whole "$key"; then continue
    else echo "$key bytes"
    fi
    rm -rf -- "${batch:?}/$key"
done
sync # once for all: what is renamed is on the disk
for key in "$@"; do
    [ -d "$batch/$key" ] || continue
    if [ "$key" = "$held" ] || ! command -v flock >/dev/null; then
        place "$key" || echo "$key stuck"
    elif [ -e "$root/locks/$key" ] && [ ! -w "$root/locks/$key" ]; then
        echo "$key stuck"
    else
        { flock -n 9 && { place "$key" || echo "$key stuck"; } || echo "$key busy"; } 9>>"$root/locks/$key"
    fi
done
for key in "$@"; do rm -rf -- "${batch:?}/$key" "$batch/$key.sums" "$batch/$key.job"; done
rmdir -- "$batch" 2>/dev/null || :
