from pathlib import Path

from django.db import migrations

ADMIT = Path(__file__).parent.parent / "sql" / "admit.sql"


class Migration(migrations.Migration):
    """The admission statement. A later change of sql/admit.sql comes with a migration that runs it again."""

    dependencies = [("billing", "0001_initial")]

    operations = [
        # Every request updates one row of this table in place: leave room for it on the same page.
        migrations.RunSQL(
            "ALTER TABLE billing_usage SET (fillfactor = 50)", "ALTER TABLE billing_usage RESET (fillfactor)"
        ),
        migrations.RunSQL(
            ADMIT.read_text().replace("%", "%%"),
            "DROP FUNCTION billing_admit(text, bytea, text, boolean, timestamptz)",
        ),
    ]
