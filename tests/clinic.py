"""A small clinic: a site with accounts, a model and studies that it has judged."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from carina.bundles.bundle import open_named_model, released_bundle
from carina.decisions.triage import READING_PLACES, Priority
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Judgement, Model, Study
from carina.service.intake.take import Taken, take
from carina.service.people import passwords
from carina.service.people.accounts import add_account
from carina.service.people.people_tables import Role
from carina.service.people.tokens import add_token
from carina.service.site_folder import Site, open_site
from carina.service.web.app import build_app
from make import make_grey
from make_dicom import encode_dicom

PASSWORD = "four words that stay"  # noqa: S105
ACCOUNTS: dict[str, Role] = {"anna": "administrator", "berta": "reader", "boris": "reader", "carl": "auditor"}
BASE = "http://127.0.0.1"


@dataclass
class Clinic:
    """A site with what tests ask of it."""

    site: Site
    app: Any
    numbers: dict[str, int]
    model_id: int
    findings: tuple[str, ...]
    stack: ExitStack = field(default_factory=ExitStack)
    made: int = 0

    def client(self, name: str = "", **headers: str) -> TestClient:
        """Return a browser: logged in as an account, or as nobody."""
        client = TestClient(self.app, base_url=BASE, follow_redirects=False, headers=headers)
        if name:
            answer = client.post("/login", data={"name": name, "password": PASSWORD})
            assert answer.status_code == 303, answer.text
        return client

    def csrf(self, client: TestClient) -> str:
        """Return what the forms of a browser's session send along."""
        home = client.get("/", follow_redirects=True).text
        return re.search(r'data-csrf="([^"]+)"', home)[1]

    def token(self, *scopes: str, name: str = "berta") -> dict[str, str]:
        """Return the headers of a program with these scopes."""
        secret = add_token(self.site.engine, self.numbers[name], "test", scopes, 1, by="system")
        return {"Authorization": f"Bearer {secret}"}

    def add_study(
        self,
        priority: Priority | None = "secondary-review",
        p_flag: float = 0.1,
        *,
        hours: float = 1.0,
        judged: bool = True,
        finding: str | None = None,
        **header: Any,
    ) -> int:
        """Return the number of a new study with one image, judged as is said."""
        self.made += 1
        said = {"PatientID": f"PID{self.made}", "StudyInstanceUID": f"1.2.3.{self.made}", **header}
        content = encode_dicom(make_grey(self.made % 50, depth=12), stored=12, **said)
        taken = take(self.site, content, name=f"{self.made}.dcm", source="upload")
        assert isinstance(taken, Taken)
        with writing(self.site.engine) as session:
            study, image = session.get_one(Study, taken.study_id), session.get_one(Image, taken.image_id)
            study.arrived_at = now() - timedelta(hours=hours)
            if judged:
                self._judge(session, study, image, priority, p_flag, finding)
        return taken.study_id

    def _judge(self, session: Any, study: Study, image: Image, priority: Any, p_flag: float, finding: Any) -> None:
        rest = (1 - p_flag) / (len(self.findings) - 1)
        shares = dict.fromkeys(self.findings, rest) | {self.findings[0]: p_flag}
        if finding is not None:
            shares = dict.fromkeys(self.findings, 0.01) | {self.findings[0]: p_flag, finding: 0.9}
        called = max(shares, key=shares.__getitem__)
        says = {"priority": priority, "finding": called, "probability": p_flag, "gate_accepted": True}
        says |= {"code": "normal-below-band", "reason": "A reason with figures."}
        if priority == "not-assessable":
            shares = {}
            says |= {"finding": None, "probability": None, "gate_accepted": False, "code": "refused"}
        study.finding_probability = shares.get(called) if shares else None
        study.image_id, study.place, study.judged_at = image.id, READING_PLACES[priority], now()
        for key, value in says.items():
            setattr(study, key, value)
        image.state = "judged"
        judged = Judgement(image_id=image.id, model_id=self.model_id, at=now(), probabilities=shares, **says)
        judged.reservations, judged.precision = ["Its header leaves something in doubt."], "f32"
        session.add(judged)

    def image_of(self, study: int) -> Image:
        """Return the image of a study."""
        with reading(self.site.engine) as session:
            return session.get_one(Study, study).images[0]


@pytest.fixture(scope="module")
def quick_passwords() -> Iterator[None]:
    """Let passwords be kept by the weakest parameters: their strength is tested by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        patch.setattr(passwords, "_made", [])
        yield


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory, quick_passwords: None) -> Iterator[Clinic]:
    """Return a clinic for all tests of a file."""
    site = open_site(tmp_path_factory.mktemp("clinic") / "site", make=True)
    run, sha256 = open_named_model(released_bundle())
    numbers = {name: add_account(site.engine, name, PASSWORD, role) for name, role in ACCOUNTS.items()}
    with writing(site.engine) as session:
        model = Model(name=run.name, version="1", sha256=sha256, folder=str(released_bundle()), added_at=now())
        model.flag_finding, model.role = run.policy.flag_finding, "in-use"
        session.add(model)
        session.flush()
        made = Clinic(site, build_app(site), numbers, model.id, run.findings)
    yield made
    made.stack.close()
    site.close()
