# A study as a graph of files. `make report` drives it; on a cluster, with any executor plugin:
#   snakemake book --executor slurm --jobs 50 --config params=params/my_corpus.yaml
# Parameters are checked before anything runs; `--config 'exploration={seed: 7}'` overrides one.
import sys

from snakemake.exceptions import WorkflowError

from cryhear.errors import CryhearError
from cryhear.params import typed
from cryhear.pieces import package_digest
from cryhear.study.plan import Plan

settings = dict(config)
try:
    plan = Plan.of(str(settings.pop("params", "params/default.yaml")), typed(settings)).write()
except CryhearError as error:
    raise WorkflowError(str(error)) from None

PYTHON = sys.executable
RUN = plan.folder.as_posix()
DERIVED = plan.study.derived.as_posix()
SHARDS = plan.study.embed.shards


wildcard_constraints:
    chapter="[0-9]+_[a-z_]+",
    representation="[a-z-]+",
    part="[0-9]+",


localrules:
    book,
    chapters,
    derived,


rule book:
    input:
        f"{RUN}/html/index.html",


rule chapters:
    input:
        expand(f"{RUN}/{{chapter}}/artefacts.json", chapter=plan.chapters),


rule derived:
    input:
        plan.made,


if plan.made:

    rule manifest:
        output:
            f"{DERIVED}/manifest.parquet",
            f"{DERIVED}/private/paths.parquet",
        params:
            source=plan.part("source", "seed"),
            recordings=plan.listing(),
        log:
            f"{RUN}/logs/manifest.txt",
        message:
            "manifest of the recordings"
        shell:
            "{PYTHON:q} -m cryhear.embedding.build_tables manifest {plan.params} {DERIVED} > {log} 2>&1"

    rule clips:
        input:
            f"{DERIVED}/manifest.parquet",
        output:
            f"{DERIVED}/shards/clips/{{representation}}.{{part}}of{SHARDS}.parquet",
        params:
            how=plan.part("preprocess"),
        log:
            f"{RUN}/logs/clips.{{representation}}.{{part}}of{SHARDS}.txt",
        threads: plan.study.embed.threads
        message:
            "embedding {wildcards.representation}, part {wildcards.part}"
        shell:
            "{PYTHON:q} -m cryhear.embedding.build_tables shard {plan.params} {wildcards.representation}"
            " {wildcards.part} {SHARDS} {DERIVED} > {log} 2>&1"

    rule variants:
        input:
            f"{DERIVED}/manifest.parquet",
        output:
            f"{DERIVED}/shards/variants/{{representation}}.{{part}}of{SHARDS}.parquet",
        params:
            how=plan.part("preprocess", "augment", "embed", "seed"),
        log:
            f"{RUN}/logs/variants.{{representation}}.{{part}}of{SHARDS}.txt",
        threads: plan.study.embed.threads
        message:
            "altered versions in {wildcards.representation}, part {wildcards.part}"
        shell:
            "{PYTHON:q} -m cryhear.embedding.build_tables variants {plan.params} {wildcards.representation}"
            " {wildcards.part} {SHARDS} {DERIVED} > {log} 2>&1"

    rule merge:
        input:
            plan.shards(),
            manifest=f"{DERIVED}/manifest.parquet",
        output:
            [name for name in plan.made if not name.endswith("manifest.parquet")],
        params:
            how=plan.part("preprocess", "augment", "seed"),
        log:
            f"{RUN}/logs/merge.txt",
        message:
            "derived tables"
        shell:
            "{PYTHON:q} -m cryhear.embedding.build_tables merge {plan.params} {DERIVED} > {log} 2>&1"


rule chapter:
    input:
        lambda wildcards: plan.chapter_inputs(wildcards.chapter),
    output:
        f"{RUN}/{{chapter}}/ledger.json",
        f"{RUN}/{{chapter}}/artefacts.json",
    params:
        chosen=lambda wildcards: plan.chapter_parameters(wildcards.chapter),
    log:
        f"{RUN}/logs/{{chapter}}.txt",
    message:
        "chapter {wildcards.chapter}"
    shell:
        "{PYTHON:q} -m cryhear.study.run chapter {plan.params} {wildcards.chapter} > {log} 2>&1"


rule model:
    input:
        plan.model_inputs(),
    output:
        plan.model.as_posix(),
    params:
        how=plan.part("seed", "labels", "set", "representations", "primary", "model"),
        code=package_digest(),
    log:
        f"{RUN}/logs/model.txt",
    message:
        "the model for new recordings"
    shell:
        "{PYTHON:q} -m cryhear.study.run model {plan.params} > {log} 2>&1"


rule html:
    input:
        plan.book_inputs(),
    output:
        f"{RUN}/html/index.html",
    log:
        f"{RUN}/logs/book.txt",
    message:
        "the book"
    shell:
        "{PYTHON:q} -m cryhear.study.run book {plan.params} > {log} 2>&1"
