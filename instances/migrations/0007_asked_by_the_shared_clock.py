from pathlib import Path

from django.db import migrations, models

TAKE = Path(__file__).parent.parent / "sql" / "take.sql"


class Migration(migrations.Migration):
    """A deadline that was set before PostgreSQL's clock was put back is over."""

    dependencies = [("instances", "0006_console_lists")]

    operations = [
        migrations.AlterField(
            model_name="operation",
            name="created_at",
            field=models.DateTimeField(editable=False),
        ),
        migrations.RunSQL(TAKE.read_text().replace("%", "%%"), migrations.RunSQL.noop),
    ]
