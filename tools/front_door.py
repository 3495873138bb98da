"""An import contract for import-linter: domains meet only at their `api`."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class FrontDoorContract(Contract):
    """Modules of a package with a `domain.py` are private to it, except for `api`.

    `hosts` may also import `domain`; `observers` may import everything.
    """

    type_name = "front_door"

    hosts = fields.ListField(subfield=fields.ModuleField())
    observers = fields.ListField(subfield=fields.ModuleField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collect the imports of private modules from other packages."""
        hosts, observers = ([module.name for module in found] for found in (self.hosts, self.observers))
        broken = [
            f"{importer} -> {imported}"
            for root in sorted(graph.modules)
            if root.count(".") == 1 and f"{root}.domain" in graph.modules
            for imported in sorted(graph.find_descendants(root))
            if (part := imported.split(".")[2]) != "api"
            for importer in sorted(graph.find_modules_that_directly_import(imported))
            if not f"{importer}.".startswith(
                tuple(f"{package}." for package in (root, *observers, *(hosts if part == "domain" else ())))
            )
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports."""
        for line in check.metadata["broken"]:
            output.print_error(line)
