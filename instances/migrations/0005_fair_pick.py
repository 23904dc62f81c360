from pathlib import Path

from django.db import migrations, models

TAKE = Path(__file__).parent.parent / "sql" / "take.sql"


class Migration(migrations.Migration):
    """Workers take the operation whose turn it is. A later change of sql/take.sql comes with a migration that runs it
    again."""

    dependencies = [
        ("instances", "0004_alerts"),
        ("nodes", "0001_initial"),
    ]

    operations = [
        # started_at was the last attempt's and is the first one's from now on.
        migrations.AddField(
            model_name="operation",
            name="attempted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.RunSQL(
            "UPDATE instances_operation SET attempted_at = started_at WHERE finished_at IS NULL", migrations.RunSQL.noop
        ),
        migrations.RunSQL(
            TAKE.read_text().replace("%", "%%"),
            "DROP FUNCTION instances_take(uuid, interval, interval, integer, uuid)",
        ),
    ]
