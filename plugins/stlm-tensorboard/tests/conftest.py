"""The package as pip would install it, where it is only a folder; and its spec."""

from pathlib import Path

from stlm.testing import package_fixtures

package, shipped = package_fixtures(Path(__file__).parents[1])
