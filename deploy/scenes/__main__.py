"""Takes the pictures of docs/images anew: `deploy/pictures`."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from deploy.scenes import console, portal
from deploy.scenes.camera import Scene, View, Visit, browser, views
from deploy.scenes.people import Shown, choose
from deploy.stack import ports, region_file, services
from deploy.stack.errors import Trouble
from deploy.stack.processes import wait_until
from deploy.stack.progress import say, step
from deploy.stack.region import SAMPLE, make_region, open_region

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
PEOPLE = 400
SAMPLE_S = 1800


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="deploy/pictures", description=__doc__)
    top.add_argument("--dir", type=Path, help="a region that has the sample (default: one of its own)")
    top.add_argument("--only", default="", metavar="NAME", help="e.g. portal-record (all)")
    top.add_argument("--out", type=Path, default=IMAGES, help="where to put them (docs/images)")
    return top


@contextlib.contextmanager
def region(directory: Path | None) -> Iterator[dict[str, Any]]:
    """Give region.json of a region that has the sample; one that was made for this is taken away again."""
    if directory is not None:
        content = region_file.read(open_region(directory).place)
        if content is None:
            raise Trouble(
                f"No region is up in {directory}; run deploy/region up --dir {directory} --sample 400."
            )
        yield content
        return
    own = Path(tempfile.mkdtemp(prefix="hie-pictures-"))
    own.chmod(0o711)
    made = make_region(own, 5, ports.window(200))
    try:
        content = made.up()
        with step(f"The sample of {PEOPLE} people"):
            made.send_sample(PEOPLE)
            wait_until(lambda: services.running(made.place, SAMPLE) is None, timeout_s=SAMPLE_S, every_s=1)
        yield content
    finally:
        made.down()
        shutil.rmtree(own, ignore_errors=True)


class Session:
    """Takes the pictures of a region, page by page."""

    def __init__(self, made: Browser, content: dict[str, Any], out: Path, only: str) -> None:
        self._made = made
        self._users: Sequence[dict[str, Any]] = content["users"]
        self._hospital: dict[str, Any] = content["hospitals"][0]
        self._hub: dict[str, Any] = content["hub"]
        self._out = out
        self._only = only
        self._shown: Shown = choose(content["hub"]["database_url"])

    def take(self) -> None:
        """Take all pictures that are wanted."""
        at_hub = Visit(self._hub["portal"], self._shown)
        at_hospital = Visit(self._hospital["console"], self._shown)
        self._act(portal.SIGN_IN, at_hub, lambda view: portal.choose_language(view, at_hub.url))
        for role, scenes in portal.BY_ROLE.items():
            user = self._user(role)
            self._act(
                scenes,
                at_hub,
                lambda view, user=user: portal.sign_in(view, at_hub.url, user["username"], user["password"]),  # type: ignore[misc]
            )
        self._act(console.SIGN_IN, at_hospital, lambda view: None)
        self._act(
            console.PAGES,
            at_hospital,
            lambda view: console.sign_in(view, at_hospital, self._hospital["console_password"]),
        )

    def _user(self, role: str) -> dict[str, Any]:
        """Return a user of a role; a doctor of a hospital that does not know the person, if there is one."""
        found = [user for user in self._users if user["role"] == role]
        return next((user for user in found if user["facility"] not in self._shown.facilities), found[0])

    def _act(self, scenes: Sequence[Scene], visit: Visit, enter: Callable[[View], None]) -> None:
        wanted = [scene for scene in scenes if self._only in scene.name]
        if not wanted:
            return
        with views(self._made) as seen:
            for view in seen:
                enter(view)
            for scene in wanted:
                for view in seen:
                    scene.go(view, visit)
                    view.settle(scene.ready)
                    say(f"  {view.shoot(self._out, scene.name, whole=scene.whole)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures; what the caller can mend ends in one plain sentence and exit status 2."""
    args = parser().parse_args(arguments)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        with region(args.dir) as content, browser() as made:
            Session(made, content, args.out, args.only).take()
    except Trouble as trouble:
        print(f"deploy/pictures: {trouble}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
