#!/usr/bin/env bash
# Put the site of a version beside those of the others, on the branch gh-pages: publish_docs.sh VERSION
set -euo pipefail
version="$1"
pages="$(mktemp -d)"
git fetch origin gh-pages 2>/dev/null && git worktree add --force "$pages" origin/gh-pages ||
    git worktree add --force --orphan -b gh-pages "$pages"
cd "$pages"
rm -rf "$version" latest
cp -r "$OLDPWD/site" "$version"
cp -r "$version" latest
touch .nojekyll
{
    echo '<!DOCTYPE html><meta charset="utf-8"><title>Carina: documentation</title><h1>Carina: documentation</h1><ul>'
    echo '<li><a href="latest/docs/README.html">latest</a></li>'
    for folder in $(ls -d [0-9]*/ | sort --version-sort --reverse); do
        echo "<li><a href=\"${folder}docs/README.html\">${folder%/}</a></li>"
    done
    echo '</ul>'
} > index.html
git add --all
git -c user.name=release -c user.email=release@localhost commit --quiet --message "Documentation of $version"
git push origin HEAD:gh-pages
